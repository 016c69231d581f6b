"""Several processes of the relay on one machine: a parent that supervises workers, and the workers' link to it."""
