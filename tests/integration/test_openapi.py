"""The description of the API against a relay as its users run it: schemathesis makes requests by it and judges answers.

Requests are derived from the description, good ones and broken ones, always the same.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import requests
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode, openapi
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks
from twisted.trial.unittest import SynchronousTestCase

from tests.integration.api_relay import KEY, api_relay
from wsrelay.web.api.methods import Methods

DESCRIPTION: dict[str, Any] = json.loads(files("wsrelay.web.api").joinpath("openapi.json").read_text())
OWN_PATHS = {"/api/batch", "/api/publish/{channel}", "/api/tickets", "/api/openapi.json"}
EXAMPLES = 8

CHECKS: list[Any] = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.ignored_auth,
    checks.unsupported_method,
]
"""All but those that want a status for each error: the methods answer 200, as Centrifugo's do."""


class DescriptionTests(SynchronousTestCase):
    """`openapi.json`."""

    def test_every_method_is_described_and_nothing_else(self) -> None:
        names = Methods(None).by_name  # type: ignore[arg-type] # none is called
        self.assertEqual(set(DESCRIPTION["paths"]), {f"/api/{name}" for name in names} | OWN_PATHS)

    def test_every_operation_has_a_name_and_a_summary(self) -> None:
        found = [each for path in DESCRIPTION["paths"].values() for each in path.values()]
        self.assertEqual(len({each["operationId"] for each in found}), len(found))
        self.assertTrue(all(each["summary"] for each in found))


class SchemathesisTests(SynchronousTestCase):
    """Requests that are made by the description."""

    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.relay = self.enterContext(api_relay(folder))
        self.session = self.enterContext(requests.Session())

    def test_served_description_is_the_file(self) -> None:
        self.assertEqual(self.session.get(f"{self.relay.url}/api/openapi.json", timeout=5).json(), DESCRIPTION)

    def test_every_answer_is_as_described(self) -> None:
        """Requests that the description permits, and some that it does not."""
        schema = openapi.from_dict(DESCRIPTION)
        # Each request has the one valid key; without, the checks would take a second, wrong one for a way in.
        schema.config.generation.with_security_parameters = False
        count = 0
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                if mode is GenerationMode.NEGATIVE and operation.method == "get":
                    continue
                count += 1
                self.check(operation, mode)
        self.assertEqual(count, 2 * len(DESCRIPTION["paths"]) - 1)

    def check(self, operation: Any, mode: GenerationMode) -> None:
        """Send requests to an operation, and judge the answers."""

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def requests_are_answered(case: Case[Any]) -> None:
            header = {"X-API-Key": KEY}
            case.call_and_validate(
                base_url=self.relay.url, headers=header, session=self.session, checks=CHECKS, timeout=10
            )

        requests_are_answered()
