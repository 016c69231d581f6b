"""Breaks what is around the relay, and looks whether anybody lost a message without being told.

Every fault has a world of its own: real relay processes, a real Redis server, a TCP proxy between them that can be
told to misbehave, somebody who publishes numbered messages, and clients that write down what they get. `acts` is the
table of faults; `python -m devtools.faults --help` says the rest.
"""
