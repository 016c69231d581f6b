"""The SDK for Python (PyPI: centrifuge-python)."""

from __future__ import annotations

from tests.clients import scenarios
from tests.clients.scenarios import case
from tests.clients.sdk import PYTHON


class PythonJSONTests(scenarios.Scenarios, case.ProgramCase):
    """With JSON."""

    sdk = PYTHON
    encoding = "json"


class PythonProtobufTests(scenarios.Scenarios, case.ProgramCase):
    """With Protobuf."""

    sdk = PYTHON
    encoding = "protobuf"
