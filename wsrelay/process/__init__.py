"""Process-wide patches: limits, garbage collection, clock and signals. Only the command line applies them."""
