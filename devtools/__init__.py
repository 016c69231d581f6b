"""Tools of the developers: tests with real processes, benchmarks, releases."""
