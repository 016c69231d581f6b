"""Faults: everything around the relay breaks, and every message is accounted for.

Each fault has servers of its own: real relay processes, a real Redis server, a TCP proxy between them that misbehaves
on request, a publisher of numbered messages, and clients that record what they receive. The faults are in
`scenarios`; `python -m devtools.faults --help` explains the rest.
"""
