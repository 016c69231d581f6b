"""The SDK for JavaScript (npm: centrifuge), in Node."""

from __future__ import annotations

from tests.clients import scenarios
from tests.clients.scenarios import case
from tests.clients.sdk import JAVASCRIPT, JAVASCRIPT_HTTP_STREAM


class JavaScriptJSONTests(scenarios.Scenarios, case.ProgramCase):
    """With JSON."""

    sdk = JAVASCRIPT
    encoding = "json"


class JavaScriptProtobufTests(scenarios.Scenarios, case.ProgramCase):
    """With Protobuf."""

    sdk = JAVASCRIPT
    encoding = "protobuf"


class JavaScriptHTTPStreamTests(scenarios.FallbackScenarios, scenarios.SlowScenarios, case.ProgramCase):
    """With JSON over an HTTP stream, and requests to /emulation."""

    sdk = JAVASCRIPT_HTTP_STREAM
    encoding = "json"


class JavaScriptHTTPStreamProtobufTests(scenarios.FallbackScenarios, scenarios.SlowScenarios, case.ProgramCase):
    """The same with Protobuf."""

    sdk = JAVASCRIPT_HTTP_STREAM
    encoding = "protobuf"
