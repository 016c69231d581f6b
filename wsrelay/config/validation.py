"""Checks of settings that depend on each other."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping

from wsrelay.config.settings import Settings
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.flow.token_bucket import MESSAGE_BURST_SECONDS
from wsrelay.core.messaging.channel_names import PERSONAL
from wsrelay.core.outcomes.errors import ChannelError, ConfigError

__all__ = ["PROTECTIVE", "validate"]

MIN_API_KEY_CHARACTERS = 16

MAX_DYNO_STOP_SECONDS = 29.0
"""Heroku sends SIGKILL 30 s after SIGTERM (R12); a second is left for the end of the process itself."""

MIN_DRAIN_SECONDS = 1.0
"""Time that a delay leaves for the drain: half a second to close connections, and as much for aborts and the broker."""

# RFC 6265 section 4.1.1: a token of HTTP.
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

PROTECTIVE = (
    "config",
    "listen_tls",
    "tls_min_version",
    "tls_ciphers",
    "redis_tls_ca_file",
    "redis_tls_fingerprint",
    "access",
    "require_origin",
    "token_algorithms",
    "token_audience",
    "token_issuer",
    "hook_url",
    "hook_forward_headers",
    "hook_publish",
    "max_connections_per_address",
    "max_handshakes_per_second",
)
"""Settings without which more is open than with them, whatever else is set. Limits that have a default are not among
them: it is one, too."""


def validate(
    settings: Settings, sources: Mapping[str, str], empty: Mapping[str, str], *, is_dyno: bool = False
) -> Settings:
    """Return settings that fit together, with the host to listen on filled in.

    Args:
        settings: Settings of which each is valid by itself.
        sources: Where each setting that is not a default came from, by its name: "flag", "file" or the name of an
            environment variable.
        empty: The environment variables that are set but empty, by the setting's name.
        is_dyno: Whether the process runs on Heroku, or on a platform that follows it.

    Raises:
        ConfigError: Some contradict each other, or have no effect. The text says which, and what to do.
    """
    _check_empty(settings, sources, empty)
    _check_broker(settings, sources)
    _check_listening(settings, sources)
    _check_limits(settings)
    _check_stop(settings, is_dyno=is_dyno)
    _check_authentication(settings, sources)
    _check_channels(settings, sources)
    if settings.host or (settings.listen_tls and "port" not in sources):
        return settings
    return dataclasses.replace(settings, host="127.0.0.1")


def _check_empty(settings: Settings, sources: Mapping[str, str], empty: Mapping[str, str]) -> None:
    """Reject nothing in the place of a value. A deployment that takes it from elsewhere may not have found it there.

    Other variables that are empty count as not set: templates list those that are optional.
    """
    if "redis_url" in empty and settings.redis_url is None and settings.broker == "auto":
        raise ConfigError(
            f"{empty['redis_url']} is set but empty: set it to the URL of the Redis server, or set "
            "WSRELAY_BROKER=memory to run one process without Redis"
        )
    for name in (*PROTECTIVE, *_protective_here(settings, sources)):
        if name in empty and name not in sources:
            raise ConfigError(f"{empty[name]} is set but empty: give it a value, or unset it to do without")
    names_no_channel = not (settings.channels or settings.publish or settings.namespaces)
    # To publish to nothing may be meant where somebody wrote it, as a flag or into the file.
    in_place_of_channels = sources.get("channels", empty.get("channels", empty.get("publish")))
    if names_no_channel and (source := in_place_of_channels):
        named = {"flag": "--channels", "file": "channels in the file"}.get(source, source)
        raise ConfigError(
            f"{named} is empty, which would open every channel: name channels (* for all), or leave it out"
        )


def _protective_here(settings: Settings, sources: Mapping[str, str]) -> Iterator[str]:
    """Return the settings without which these other ones open more."""
    if sources.get("port") == "PORT" and "host" not in sources and not settings.listen:
        # Every address is listened on then, otherwise the loopback interface alone.
        yield from ("host", "listen")
    if settings.redis_url is None:
        yield "broker"
    if settings.has_chat_page:
        yield "chat_page"


def _check_broker(settings: Settings, sources: Mapping[str, str]) -> None:
    if settings.broker == "redis" and settings.redis_url is None:
        raise ConfigError("broker is redis but there is no redis_url: set REDIS_URL")
    if settings.redis_tls_ca_file is not None and not settings.redis_tls_verify:
        raise ConfigError(
            "redis_tls_ca_file says which CAs to trust, redis_tls_verify=false trusts every server: set only one of "
            "them"
        )
    if settings.redis_tls_client_key is not None and settings.redis_tls_client_certificate is None:
        raise ConfigError("redis_tls_client_key has no effect without redis_tls_client_certificate")
    if settings.redis_tls_fingerprint is not None:
        if not re.fullmatch("[0-9a-f]{64}", settings.redis_tls_fingerprint.replace(":", "").lower()):
            raise ConfigError("redis_tls_fingerprint must be 64 hexadecimal digits: openssl x509 -fingerprint -sha256")
        if settings.redis_tls_ca_file is not None or not settings.redis_tls_verify:
            raise ConfigError(
                "redis_tls_fingerprint names the only certificate to trust: do not set redis_tls_ca_file or "
                "redis_tls_verify with it"
            )
    # Not redis_tls_verify=false: it is set for a hoster, some of whose plans have no TLS, and would protect nothing.
    for_tls = [name for name in sources if name.startswith("redis_tls_") and getattr(settings, name) is not False]
    if for_tls and settings.redis_url is None:
        raise ConfigError(f"{for_tls[0]} has no effect without redis_url: set REDIS_URL to a rediss:// URL")
    if for_tls and settings.redis_url is not None and not settings.redis_url.tls:
        raise ConfigError(f"{for_tls[0]} is for rediss:// URLs; this one is not encrypted")
    if not settings.prefix.isascii() or any(character.isspace() for character in settings.prefix):
        raise ConfigError("prefix must be ASCII without white space")
    if settings.prefix == "_" or settings.prefix.startswith("__"):
        # Redis publishes its keyspace notifications on __keyspace@<db>__ and __keyevent@<db>__.
        raise ConfigError("prefix must not make names that begin with two underscores, as those of Redis itself do")


def _check_listening(settings: Settings, sources: Mapping[str, str]) -> None:
    if settings.listen and ("host" in sources or sources.get("port") not in (None, "PORT")):
        raise ConfigError("listen says where to listen, and so do host and port: set only one of them")
    if bool(settings.listen_tls) != bool(settings.tls_certificates):
        raise ConfigError("listen_tls and tls_certificates belong together: set both or none")
    for name in ("tls_min_version", "tls_ciphers"):
        if name in sources and not settings.listen_tls:
            raise ConfigError(f"{name} has no effect without listen_tls")
    endpoints = (*settings.listen, *settings.listen_tls)
    if settings.trusted_proxies and any(text.startswith("haproxy:") for text in endpoints):
        raise ConfigError(
            "haproxy: takes the client's address from the PROXY protocol, trusted_proxies from X-Forwarded-For, which "
            "the client itself may write: set only one of them"
        )


def _check_limits(settings: Settings) -> None:
    if settings.max_message_bytes > MESSAGE_BURST_SECONDS * settings.max_bytes_per_second:
        raise ConfigError(
            f"max_message_bytes ({settings.max_message_bytes}) is more than a client may send at once, which is "
            f"{MESSAGE_BURST_SECONDS:g} times max_bytes_per_second: raise that, too"
        )
    idle = settings.router_idle_timeout_seconds
    if idle and settings.ping_interval_seconds >= idle:
        raise ConfigError(
            f"ping_interval_seconds ({settings.ping_interval_seconds:g}) must be below router_idle_timeout_seconds "
            f"({idle:g}): the router would end every quiet connection before its first ping. Lower the interval, "
            "or set router_idle_timeout_seconds to what your router allows (0 if there is none)"
        )


def _check_stop(settings: Settings, *, is_dyno: bool) -> None:
    if is_dyno and settings.drain_timeout_seconds > MAX_DYNO_STOP_SECONDS:
        raise ConfigError(
            f"drain_timeout_seconds ({settings.drain_timeout_seconds:g}) must be at most {MAX_DYNO_STOP_SECONDS:g} on "
            "a dyno (DYNO is set), which is killed 30 seconds after SIGTERM; shutdown_delay_seconds is a part of it"
        )
    if settings.shutdown_delay_seconds > settings.drain_timeout_seconds - MIN_DRAIN_SECONDS:
        raise ConfigError(
            f"shutdown_delay_seconds ({settings.shutdown_delay_seconds:g}) is a part of drain_timeout_seconds "
            f"({settings.drain_timeout_seconds:g}), and must leave at least {MIN_DRAIN_SECONDS:g} s of it to close "
            "connections: lower the delay, or raise drain_timeout_seconds as far as the platform permits"
        )


def _check_authentication(settings: Settings, sources: Mapping[str, str]) -> None:
    OriginPolicy(settings.origins, require=settings.require_origin)
    if settings.token_keys is not None and settings.token_jwks_url is not None:
        raise ConfigError("token_keys and token_jwks_url both say which keys verify tokens: set only one of them")
    if settings.token_previous_keys is not None and settings.token_keys is None:
        raise ConfigError("token_previous_keys has no effect without token_keys")
    has_keys = settings.token_keys is not None or settings.token_jwks_url is not None
    _check_dependents("token_", has_keys, ("token_keys", "token_jwks_url"), sources)
    _check_dependents("hook_", settings.hook_url is not None, ("hook_url",), sources)
    if settings.token_cookie is not None and _COOKIE_NAME.fullmatch(settings.token_cookie) is None:
        raise ConfigError("token_cookie must be the name of a cookie")
    if unknown := [name for name in settings.hook_forward_headers if name not in ("cookie", "authorization")]:
        raise ConfigError(f"hook_forward_headers may hold cookie and authorization, not {unknown[0]!r}")
    accepts_cookies = settings.token_cookie is not None or (
        settings.hook_url is not None and "cookie" in settings.hook_forward_headers
    )
    if accepts_cookies and {"*", "null"} & set(settings.origins):
        raise ConfigError(
            "origins must not hold * or null if cookies are credentials: any page could use those of its visitors. "
            "List the pages, or do not set token_cookie, and remove cookie from hook_forward_headers"
        )
    if not all(key.reveal().isascii() for key in settings.api_keys):
        raise ConfigError("api_keys must be ASCII: HTTP has no other characters for them")
    if any(len(key.reveal()) < MIN_API_KEY_CHARACTERS for key in settings.api_keys):
        raise ConfigError(
            f"each of api_keys must have at least {MIN_API_KEY_CHARACTERS} characters, for instance from: "
            "openssl rand -hex 32"
        )


def _check_dependents(prefix: str, is_on: bool, heads: tuple[str, ...], sources: Mapping[str, str]) -> None:
    """Reject settings that depend on one that is not set: a mistake, or a protection that is not there.

    Args:
        prefix: The beginning of the names of settings that depend on others.
        is_on: Whether one of those others is set.
        heads: Their names.
        sources: Where each setting came from.
    """
    dependents = [name for name in sources if name.startswith(prefix) and name not in heads]
    if dependents and not is_on:
        raise ConfigError(f"{dependents[0]} has no effect without {' or '.join(heads)}")


def _check_channels(settings: Settings, sources: Mapping[str, str]) -> None:
    if settings.personal_channel and PERSONAL not in settings.personal_channel:
        raise ConfigError(f"personal_channel must name a channel of each user: #{PERSONAL}, or user:{PERSONAL}")
    if settings.personal_channel and not settings.centrifugo:
        raise ConfigError("personal_channel has no effect without centrifugo = true")
    if settings.namespaces and (settings.channels or settings.publish or "access" in sources):
        raise ConfigError("channels, publish and access are the short form of namespaces: set only one of them")
    try:
        settings.build_namespaces()
    except ChannelError as error:
        raise ConfigError(str(error)) from None
    if settings.has_history and not settings.prefix:
        raise ConfigError(
            "history_size needs a prefix: without one every stream in Redis whose key is a valid channel name would "
            "belong to the relay, which trims it. Set prefix, or leave history_size at 0"
        )
    if settings.chat_page and not settings.sse:
        raise ConfigError("chat_page needs sse: the page receives by an event stream")
    if "history_seconds" in sources and not settings.has_history:
        raise ConfigError("history_seconds has no effect without history_size")
