"""The relays that attacks are tried on: what each is set to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from devtools.attacks import forge
from devtools.attacks.application import Application

__all__ = ["API_KEY", "COOKIE", "HOOK_SECRET", "PASSWORD", "SETUPS", "TLS_HOST", "Name", "Places", "Setup"]

PASSWORD = "redis-password-of-attacks"  # noqa: S105 -- of a server on loopback that lives for half a minute
API_KEY = "api-key-of-attacks-0123456789"
HOOK_SECRET = "hook-secret-of-attacks-0123456789"  # noqa: S105 -- as above
COOKIE = "session"
TLS_HOST = "relay.example"


class Name(StrEnum):
    """What a relay is called.

    Attributes:
        OPEN: Everybody may listen to everything, and publish to ``talk:*``.
        GUARDED: Wants a credential that names the channel; has an API, and takes a cookie.
        GUARDED_TOO: Another process of the same.
        PROXIED: The same, behind a proxy that says where clients come from.
        STRICT: Turns clients away that have no Origin.
        PUBLISHED: Fetches the keys of tokens from the application.
        HOOKED: Asks the application about every client.
        DECEIVED: Asks an application whose certificate may be for another host.
        LATE: Another such one, for what must be counted.
        PATIENT: Pings every second.
        ENCRYPTED: Speaks TLS on a second port.
        CUT: Its link to Redis leads through a proxy that can be told to misbehave.
        BARE: Its channels have no prefix in Redis.
        FLOODED: Like OPEN, for what its memory is looked at.
        SMALL: May have a thousand open files, and ten clients of one address.
    """

    OPEN = "open"
    GUARDED = "guarded"
    GUARDED_TOO = "guarded-too"
    PROXIED = "proxied"
    STRICT = "strict"
    PUBLISHED = "published"
    HOOKED = "hooked"
    DECEIVED = "deceived"
    LATE = "late"
    PATIENT = "patient"
    ENCRYPTED = "encrypted"
    CUT = "cut"
    BARE = "bare"
    FLOODED = "flooded"
    SMALL = "small"


@dataclass(frozen=True, slots=True)
class Places:
    """Where things are that settings name.

    Attributes:
        application: Has the hook and the keys.
        tls_port: Where TLS is spoken.
        certificate: The file with the certificate.
        hooks: The folder of a `sitecustomize` that allows few open files.
        authority: The file with the certificate of the authority that everybody trusts.
    """

    application: Application
    tls_port: int
    certificate: str
    hooks: str
    authority: str


@dataclass(frozen=True, slots=True)
class Setup:
    """What one relay is set to.

    Attributes:
        flags: Its flags.
        environment: Its secrets.
        config: Its file. Nothing: it has none.
        is_cut: Whether its link to Redis leads through the proxy.
    """

    flags: str
    environment: dict[str, str] = field(default_factory=dict)
    config: str = ""
    is_cut: bool = False


_TOKENS = f"--token-audience {forge.AUDIENCE} --token-issuer {forge.ISSUER} --token-leeway-seconds 0"
_GUARDED = (
    f"{_TOKENS} --channels room:*,user:{{sub}} --publish talk:* --access token --token-cookie {COOKIE} "
    "--origins https://example.com,https://*.example.org"
)

# Without an announcement of what was lost: the close that is waited for is another one.
_QUIET = """\
[namespaces.rooms]
channels = ["room:*"]
subscribe = "token"
notify_gaps = false
"""

# As an operator might who has other programs publish to names of their own.
_MIXED = """\
[namespaces.all]
channels = ["*"]

[namespaces.rooms]
channels = ["room:*"]
subscribe = "authenticated"
"""


_OPEN = Setup(
    "--channels * --publish talk:* --chat-page true --compress true "
    "--handshake-timeout-seconds 2 --close-timeout-seconds 1"
)


def _guarded(_places: Places) -> Setup:
    return Setup(_GUARDED, {"WSRELAY_TOKEN_KEYS": forge.public_pem(), "WSRELAY_API_KEYS": API_KEY})


def _hooked(places: Places, seconds: int = 2) -> Setup:
    flags = f"--hook-url {places.application.url('hook')} --hook-timeout-seconds {seconds}"
    return Setup(flags, {"WSRELAY_HOOK_SECRET": HOOK_SECRET, "WSRELAY_API_KEYS": API_KEY})


SETUPS: dict[Name, Callable[[Places], Setup]] = {
    Name.OPEN: lambda _places: _OPEN,
    Name.GUARDED: _guarded,
    Name.GUARDED_TOO: _guarded,
    Name.PROXIED: lambda _places: Setup(
        f"{_GUARDED} --trusted-proxies 1 --max-handshakes-per-second 0", {"WSRELAY_TOKEN_KEYS": forge.public_pem()}
    ),
    Name.STRICT: lambda _places: Setup("--origins https://example.com,null --require-origin true"),
    Name.PUBLISHED: lambda places: Setup(
        f"{_TOKENS} --token-jwks-url {places.application.url('keys')} --access authenticated"
    ),
    Name.HOOKED: _hooked,
    Name.DECEIVED: lambda places: Setup(
        f"--hook-url {places.application.secure_url('hook')} --hook-timeout-seconds 2",
        {"WSRELAY_HOOK_SECRET": HOOK_SECRET, "SSL_CERT_FILE": places.authority},
    ),
    Name.LATE: lambda places: _hooked(places, 8),
    Name.PATIENT: lambda _places: Setup("--ping-interval-seconds 1 --ping-timeout-seconds 1"),
    Name.ENCRYPTED: lambda places: Setup(
        f"--listen-tls tcp:{places.tls_port}:interface=127.0.0.1 --tls-certificates {places.certificate} "
        "--close-timeout-seconds 1"
    ),
    Name.CUT: lambda _places: Setup(
        _TOKENS, {"WSRELAY_TOKEN_KEYS": forge.public_pem(), "WSRELAY_API_KEYS": API_KEY}, _QUIET, is_cut=True
    ),
    Name.FLOODED: lambda _places: _OPEN,
    Name.SMALL: lambda places: Setup("--max-connections-per-address 10", {"PYTHONPATH": places.hooks}),
    Name.BARE: lambda _places: Setup("--prefix=", config=_MIXED),
}
