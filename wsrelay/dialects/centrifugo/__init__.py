"""Centrifugo's client protocol, version 2: many channels on one connection, for the SDKs of that project.

So far the first part of its JSON form: connect, subscribe, unsubscribe, publish, ping, errors and close codes.
"""

from wsrelay.dialects.centrifugo.json import PATH, JSONDialect

__all__ = ["PATH", "JSONDialect"]
