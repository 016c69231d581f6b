"""Tests of `wsrelay.core.wire.protobuf`."""
