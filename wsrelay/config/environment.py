"""Variables of the environment that begin as ours do: settings, misspelt ones, and those that others have set.

Kubernetes gives every container the addresses of all services of its namespace (`enableServiceLinks`), Docker's links
those of other containers, under the names of the services. One that is called wsrelay, or wsrelay-redis, makes names
that begin with WSRELAY_.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from wsrelay.config.suggestions import suggestion
from wsrelay.core.outcomes.errors import ConfigError

__all__ = ["foreign_variables", "own_variables"]

_PREFIX = "WSRELAY_"

_SERVICE_URL = re.compile("(tcp|udp|sctp)://.*", re.DOTALL)

# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_SERVICE = re.compile(r"\w+_SERVICE_(HOST|PORT(_\w+)?)")
_SERVICE_PORT = re.compile(r"(?P<service>\w+?)_PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?")

# What images and deployments are labelled with. A closed list: any other name may be a misspelt setting, and without
# that the relay could be open to clients that it was meant to reject.
_LABEL = re.compile(
    r"WSRELAY_((APP|BUILD|CHART|CONTAINER|DOCKER|GIT|IMAGE|RELEASE)_)*"
    r"(BRANCH|BUILD|COMMIT|DATE|DIGEST|IMAGE|RELEASE|REPOSITORY|REVISION|SHA|TAG|VERSION)"
)


def foreign_variables(environ: Mapping[str, str]) -> list[str]:
    """Return the names that begin with WSRELAY_ and are not meant for the relay, in their order.

    These are variables of services and links, and labels of images and deployments, such as WSRELAY_VERSION.

    Args:
        environ: The environment of the process.
    """
    services = {name.removesuffix("_PORT") for name, text in environ.items() if _is_service_url(name, text)}
    services |= {found["service"] for name in environ if (found := _SERVICE_PORT.fullmatch(name))}
    # Docker: https://docs.docker.com/engine/network/links/#environment-variables
    links = tuple(f"{service}_ENV_" for service in services)
    names = {f"{service}_NAME" for service in services}
    return [
        name
        for name, text in environ.items()
        if name.startswith(_PREFIX)
        and (
            _SERVICE.fullmatch(name)
            or _SERVICE_PORT.fullmatch(name)
            or _LABEL.fullmatch(name)
            or _is_service_url(name, text)
            or name in names
            or name.startswith(links)
        )
    ]


def own_variables(environ: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """Return the environment without variables that are not meant for the relay.

    Args:
        environ: The environment of the process.
        known: The names of all variables that set something.

    Raises:
        ConfigError: A variable begins with WSRELAY_ and sets nothing. The text names the nearest one that does.
    """
    foreign = set(foreign_variables(environ))
    own = {name: text for name, text in environ.items() if name not in foreign}
    for name in own:
        if name.startswith(_PREFIX) and name not in known:
            raise ConfigError(f"unknown environment variable {name}{suggestion(name, known)}")
    return own


def _is_service_url(name: str, text: str) -> bool:
    """Return whether a variable is the address of a service: of the service wsrelay it has the name of a setting."""
    return name.endswith("_PORT") and _SERVICE_URL.fullmatch(text) is not None
