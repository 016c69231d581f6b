"""The SDK for Java (Maven: centrifuge-java), which speaks Protobuf only."""

from __future__ import annotations

from tests.clients import scenarios
from tests.clients.scenarios import case
from tests.clients.sdk import JAVA


class JavaTests(scenarios.Scenarios, case.ProgramCase):
    """With Protobuf."""

    sdk = JAVA
    encoding = "protobuf"
    has_state = False
