"""Building blocks shared by tests and tools: child processes, servers, clients and reports.

Modules that the benchmark imports (`processes`, `ports`, `redis_server`, `reporting`) need the standard library only.
"""
