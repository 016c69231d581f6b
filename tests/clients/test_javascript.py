"""The SDK for JavaScript (npm: centrifuge), in Node."""

from __future__ import annotations

from tests.clients import scenarios
from tests.clients.scenarios import case
from tests.clients.sdk import JAVASCRIPT


class JavaScriptJSONTests(scenarios.Scenarios, case.ProgramCase):
    """With JSON."""

    sdk = JAVASCRIPT
    encoding = "json"


class JavaScriptProtobufTests(scenarios.Scenarios, case.ProgramCase):
    """With Protobuf."""

    sdk = JAVASCRIPT
    encoding = "protobuf"
