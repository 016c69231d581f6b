"""The benchmark: the cost of a delivery, a connection and a handshake, beside other servers.

`python -m devtools.bench --help` explains how to run it.
"""
