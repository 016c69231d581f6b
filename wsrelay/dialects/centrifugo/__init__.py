"""Centrifugo's client protocol, version 2: many channels on one connection, for the SDKs of that project."""

from wsrelay.dialects.centrifugo.emulated import (
    EMULATION_PATH,
    EmulatedJSONDialect,
    EmulatedProtobufDialect,
    read_emulation_request,
)
from wsrelay.dialects.centrifugo.json import PATH, JSONDialect
from wsrelay.dialects.centrifugo.protobuf import ProtobufDialect
from wsrelay.dialects.centrifugo.uni import UniDialect, UniStreamDialect

__all__ = [
    "EMULATION_PATH",
    "PATH",
    "EmulatedJSONDialect",
    "EmulatedProtobufDialect",
    "JSONDialect",
    "ProtobufDialect",
    "UniDialect",
    "UniStreamDialect",
    "read_emulation_request",
]
