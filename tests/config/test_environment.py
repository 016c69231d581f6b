"""Tests of `wsrelay.config.environment`: variables that begin as ours do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.config.loading_helpers import config_error
from wsrelay.config import foreign_variables, load


def service_variables(service: str, port: int = 6379, protocol: str = "tcp") -> dict[str, str]:
    """Return the variables that Kubernetes makes of a service."""
    name, url = service.upper().replace("-", "_"), f"{protocol}://10.0.0.1:{port}"
    one = f"{name}_PORT_{port}_{protocol.upper()}"
    return {
        f"{name}_SERVICE_HOST": "10.0.0.1",
        f"{name}_SERVICE_PORT": str(port),
        f"{name}_SERVICE_PORT_HTTP_METRICS": str(port),
        f"{name}_PORT": url,
        one: url,
        f"{one}_PROTO": protocol,
        f"{one}_PORT": str(port),
        f"{one}_ADDR": "10.0.0.1",
    }


class ForeignVariableTests(SynchronousTestCase):
    """Variables that others have set."""

    def assert_ignored(self, environ: dict[str, str]) -> None:
        """Check that all variables are ignored, each of them by itself too where its name says enough."""
        self.assertEqual(foreign_variables(environ), list(environ))
        self.assertEqual(load({}, environ), load({}, {}))

    def test_variables_of_a_service_of_any_name_are_ignored(self) -> None:
        for service in ("wsrelay", "wsrelay-redis-master", "wsrelay-prefix", "wsrelay-listen", "wsrelay-port"):
            for protocol in ("tcp", "udp", "sctp"):
                environ = service_variables(service, protocol=protocol)
                self.assert_ignored(environ)
                for name, text in environ.items():
                    self.assert_ignored({name: text})

    def test_variables_of_a_docker_link_are_ignored(self) -> None:
        for alias in ("WSRELAY", "WSRELAY_REDIS"):
            link = {f"{alias}_NAME": "/web/redis", f"{alias}_ENV_REDIS_VERSION": "7.0", f"{alias}_ENV_PORT": "1"}
            self.assert_ignored({f"{alias}_PORT": "tcp://172.17.0.2:6379", **link})
            self.assert_ignored({f"{alias}_PORT_6379_TCP": "tcp://172.17.0.2:6379", **link})

    def test_labels_of_images_and_deployments_are_ignored(self) -> None:
        for name in ("VERSION", "IMAGE", "IMAGE_TAG", "GIT_SHA", "BUILD_DATE", "RELEASE"):
            self.assert_ignored({f"WSRELAY_{name}": "1.0"})

    def test_names_of_other_programs_are_not_reported(self) -> None:
        self.assertEqual(foreign_variables({"REDIS_SERVICE_HOST": "10.0.0.1", "PORT": "1", "VERSION": "1"}), [])

    def test_setting_is_no_variable_of_a_service(self) -> None:
        self.assertEqual(foreign_variables({"WSRELAY_PORT": "8081", "WSRELAY_HOST": "::"}), [])
        self.assertEqual(load({}, {"WSRELAY_PORT": "8081"}).port, 8081)

    def test_only_addresses_of_the_protocols_of_services_are_theirs(self) -> None:
        for name, url in (
            ("WSRELAY_HOOK_PORT", "https://app.example/hook"),
            ("WSRELAY_REDIS_PORT", "redis://10.0.0.1:6379"),
            ("WSRELAY_TLS_PORT", "x-tcp://10.0.0.1:80"),
        ):
            self.assertEqual(foreign_variables({name: url}), [])
            self.assertIn(f"unknown environment variable {name}", config_error({}, {name: url}))
        self.assertIn("must be a whole number", config_error({}, {"WSRELAY_PORT": "http://10.0.0.1"}))

    def test_anything_else_is_rejected_with_the_nearest_name(self) -> None:
        for name, nearest in (
            ("WSRELAY_CHANELS", "WSRELAY_CHANNELS"),
            ("WSRELAY_TLS_VERSION", "WSRELAY_TLS_MIN_VERSION"),
            ("WSRELAY_REDIS_PORT", "WSRELAY_REDIS_URL"),
            ("WSRELAY_HOST_NAME", "WSRELAY_HOST"),
            ("WSRELAY_SERVICE_CHANNELS", "WSRELAY_CHANNELS"),
        ):
            expected = f"unknown environment variable {name}; did you mean {nearest}?"
            self.assertEqual(config_error({}, {name: "6379"}), expected)
