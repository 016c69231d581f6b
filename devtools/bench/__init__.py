"""The benchmark: what a delivery, a connection and a handshake cost here, and what they cost elsewhere.

`python -m devtools.bench --help` tells how to run it.
"""
