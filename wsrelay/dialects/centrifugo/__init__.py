"""Centrifugo's client protocol, version 2: many channels on one connection, for the SDKs of that project."""

from wsrelay.dialects.centrifugo.json import PATH, JSONDialect
from wsrelay.dialects.centrifugo.protobuf import ProtobufDialect
from wsrelay.dialects.centrifugo.uni import UniDialect, UniStreamDialect

__all__ = ["PATH", "JSONDialect", "ProtobufDialect", "UniDialect", "UniStreamDialect"]
