"""Registry, fan-out and clients of one process."""
