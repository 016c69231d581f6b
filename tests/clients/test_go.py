"""The SDK for Go (centrifuge-go), and a crowd of its clients."""

from __future__ import annotations

from tests.clients import scenarios
from tests.clients.scenarios import case
from tests.clients.sdk import GO


class GoJSONTests(scenarios.Scenarios, case.ProgramCase):
    """With JSON."""

    sdk = GO
    encoding = "json"


class GoProtobufTests(scenarios.Scenarios, case.ProgramCase):
    """With Protobuf."""

    sdk = GO
    encoding = "protobuf"
