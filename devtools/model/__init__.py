"""A model checker of recovery: random walks over streams, on a model of a server and on real ones."""
