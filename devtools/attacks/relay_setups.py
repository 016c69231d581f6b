"""The relays that are attacked, and the settings of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from devtools.attacks import forge
from devtools.attacks.hook_application import HookApplication

__all__ = ["API_KEY", "COOKIE", "HOOK_SECRET", "PASSWORD", "SETUPS", "TLS_HOST", "RelayName", "Resources", "Setup"]

PASSWORD = "redis-password-of-attacks"  # noqa: S105 -- of a server on loopback that lives for half a minute
API_KEY = "api-key-of-attacks-0123456789"
HOOK_SECRET = "hook-secret-of-attacks-0123456789"  # noqa: S105 -- as above
COOKIE = "session"
TLS_HOST = "relay.example"


class RelayName(StrEnum):
    """The relays.

    Attributes:
        OPEN: Every channel is public, and clients may publish to ``talk:*``.
        GUARDED: Requires a credential that names the channel; has an API, accepts a cookie, and speaks Centrifugo's
            protocol.
        COMMANDS: Speaks Centrifugo's protocol, with channels that keep history and presence.
        COMMANDS_HOOK: Accepts tokens, and asks the application about every client and every channel that it subscribes
            to.
        GUARDED_2: Another process with the same settings, which passes on few messages of one address.
        PROXIED: The same, behind a proxy that appends client addresses to X-Forwarded-For.
        ORIGIN_REQUIRED: Rejects clients without an Origin.
        JWKS: Fetches the keys of tokens from the application.
        HOOK: Asks the application about every client.
        HOOK_TLS: Asks over TLS, where the certificate may be for another host.
        SLOW_HOOK: Like HOOK with a longer timeout, for attacks that count its clients.
        FAST_PINGS: Pings every second.
        TLS: Serves TLS on a second port.
        INTERRUPTED: Its link to Redis leads through a proxy that misbehaves on request.
        NO_PREFIX: Its channels have no prefix in Redis.
        FLOODED: Like OPEN, for attacks that measure its memory.
        SMALL: May have a thousand open files, and ten clients of one address.
    """

    OPEN = "open"
    GUARDED = "guarded"
    GUARDED_2 = "guarded-2"
    COMMANDS = "commands"
    COMMANDS_HOOK = "commands-hook"
    PROXIED = "proxied"
    ORIGIN_REQUIRED = "origin-required"
    JWKS = "jwks"
    HOOK = "hook"
    HOOK_TLS = "hook-tls"
    SLOW_HOOK = "slow-hook"
    FAST_PINGS = "fast-pings"
    TLS = "tls"
    INTERRUPTED = "interrupted"
    NO_PREFIX = "no-prefix"
    FLOODED = "flooded"
    SMALL = "small"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Ports and files that settings name.

    Attributes:
        application: Serves the hook and the keys.
        tls_port: The port of the relay TLS.
        certificate: The path of the relay's certificate.
        site: The folder of a `sitecustomize` that limits open files.
        authority: The path of the certificate of the authority that relays trust.
    """

    application: HookApplication
    tls_port: int
    certificate: str
    site: str
    authority: str


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of one relay.

    Attributes:
        flags: Its flags.
        environment: Its secrets.
        config: The content of its TOML file; if empty, it has none.
        is_interrupted: True if its link to Redis leads through the proxy.
    """

    flags: str
    environment: dict[str, str] = field(default_factory=dict)
    config: str = ""
    is_interrupted: bool = False


_TOKENS = f"--token-audience {forge.AUDIENCE} --token-issuer {forge.ISSUER} --token-leeway-seconds 0"
_GUARDED = (
    f"{_TOKENS} --channels room:*,user:{{sub}},#* --publish talk:* --access token --token-cookie {COOKIE} "
    "--origins https://example.com,https://*.example.org"
)

# Without gap notices: the test waits for another close.
_NO_GAP_NOTICES = """\
[namespaces.rooms]
channels = ["room:*"]
subscribe = "token"
notify_gaps = false
"""

# A likely setup of an operator whose other programs publish to names of their own.
_MIXED = """\
[namespaces.all]
channels = ["*"]

[namespaces.rooms]
channels = ["room:*"]
subscribe = "authenticated"
"""


# Rooms may be looked into by those who may subscribe, and vaults by nobody.
_COMMANDS = """\
[namespaces.rooms]
channels = ["room:*", "user:{sub}", "#*"]
subscribe = "token"
publish = "token"
history_size = 1000
presence = true

[namespaces.vaults]
channels = ["vault:*"]
subscribe = "authenticated"
history_size = 10
read_history = "nobody"
presence = true
read_presence = "nobody"

[namespaces.plain]
channels = ["plain:*"]
"""


_OPEN = Setup(
    "--channels * --publish talk:* --chat-page true --compress true "
    "--handshake-timeout-seconds 2 --close-timeout-seconds 1"
)


def _guarded(_places: Resources, more: str = "") -> Setup:
    return Setup(
        f"{_GUARDED} --centrifugo true {more}", {"WSRELAY_TOKEN_KEYS": forge.public_pem(), "WSRELAY_API_KEYS": API_KEY}
    )


def _hooked(resources: Resources, seconds: int = 2) -> Setup:
    flags = f"--hook-url {resources.application.url('hook')} --hook-timeout-seconds {seconds}"
    return Setup(flags, {"WSRELAY_HOOK_SECRET": HOOK_SECRET, "WSRELAY_API_KEYS": API_KEY})


def _commands_hooked(resources: Resources) -> Setup:
    flags = f"{_TOKENS} --centrifugo true --hook-url {resources.application.url('hook')} --hook-timeout-seconds 2"
    return Setup(flags, {"WSRELAY_HOOK_SECRET": HOOK_SECRET, "WSRELAY_TOKEN_KEYS": forge.public_pem()})


SETUPS: dict[RelayName, Callable[[Resources], Setup]] = {
    RelayName.OPEN: lambda _places: _OPEN,
    RelayName.GUARDED: _guarded,
    RelayName.GUARDED_2: lambda places: _guarded(places, "--max-forwarded-per-second 1"),
    RelayName.COMMANDS: lambda _places: Setup(
        f"{_TOKENS} --centrifugo true", {"WSRELAY_TOKEN_KEYS": forge.public_pem()}, _COMMANDS
    ),
    RelayName.COMMANDS_HOOK: _commands_hooked,
    RelayName.PROXIED: lambda _places: Setup(
        f"{_GUARDED} --trusted-proxies 1", {"WSRELAY_TOKEN_KEYS": forge.public_pem()}
    ),
    RelayName.ORIGIN_REQUIRED: lambda _places: Setup("--origins https://example.com,null --require-origin true"),
    RelayName.JWKS: lambda resources: Setup(
        f"{_TOKENS} --token-jwks-url {resources.application.url('keys')} --access authenticated"
    ),
    RelayName.HOOK: _hooked,
    RelayName.HOOK_TLS: lambda resources: Setup(
        f"--hook-url {resources.application.secure_url('hook')} --hook-timeout-seconds 2",
        {"WSRELAY_HOOK_SECRET": HOOK_SECRET, "SSL_CERT_FILE": resources.authority},
    ),
    RelayName.SLOW_HOOK: lambda resources: _hooked(resources, 8),
    RelayName.FAST_PINGS: lambda _places: Setup("--ping-interval-seconds 1 --ping-timeout-seconds 3"),
    RelayName.TLS: lambda resources: Setup(
        f"--listen-tls tcp:{resources.tls_port}:interface=127.0.0.1 --tls-certificates {resources.certificate} "
        "--close-timeout-seconds 1"
    ),
    RelayName.INTERRUPTED: lambda _places: Setup(
        _TOKENS,
        {"WSRELAY_TOKEN_KEYS": forge.public_pem(), "WSRELAY_API_KEYS": API_KEY},
        _NO_GAP_NOTICES,
        is_interrupted=True,
    ),
    RelayName.FLOODED: lambda _places: _OPEN,
    RelayName.SMALL: lambda resources: Setup("--max-connections-per-address 10", {"PYTHONPATH": resources.site}),
    RelayName.NO_PREFIX: lambda _places: Setup("--prefix=", config=_MIXED),
}
