"""What settings have to fulfil together."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from wsrelay.config.settings import Settings
from wsrelay.core.access.origin import OriginPolicy
from wsrelay.core.flow.token_bucket import BURST_SECONDS
from wsrelay.core.outcomes.errors import ChannelError, ConfigError

__all__ = ["checked"]

LEAST_KEY_CHARACTERS = 16

# RFC 6265 section 4.1.1: a token of HTTP.
_COOKIE_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def checked(settings: Settings, sources: Mapping[str, str]) -> Settings:
    """The settings, if they fit together."""
    if settings.broker not in ("auto", "memory", "redis"):
        raise ConfigError(f"broker must be auto, memory or redis, not {settings.broker!r}")
    if settings.broker == "redis" and settings.redis_url is None:
        raise ConfigError("broker is redis but there is no redis_url: set REDIS_URL")
    if settings.listen and ("host" in sources or sources.get("port") not in (None, "PORT")):
        raise ConfigError("listen says where to listen, and so do host and port: leave one of the two out")
    if settings.namespaces and (settings.channels or settings.publish or "access" in sources):
        raise ConfigError("channels, publish and access are the short form of namespaces: leave one of the two out")
    if settings.redis_ca_file is not None and not settings.redis_tls_verify:
        raise ConfigError("redis_ca_file says whom to trust, redis_tls_verify=false trusts anybody: leave one out")
    pinned = settings.redis_tls_fingerprint is not None or settings.redis_ca_file is not None
    if pinned and settings.redis_url is not None and not settings.redis_url.tls:
        raise ConfigError("redis_tls_fingerprint and redis_ca_file are for rediss:// URLs; this one is not encrypted")
    if settings.max_message_bytes > BURST_SECONDS * settings.max_bytes_per_second:
        raise ConfigError(
            f"max_message_bytes ({settings.max_message_bytes}) is more than a client may send at once, which is "
            f"{BURST_SECONDS:g} times max_bytes_per_second: raise that, too"
        )
    if settings.redis_tls_fingerprint is not None:
        if not re.fullmatch("[0-9a-f]{64}", settings.redis_tls_fingerprint.replace(":", "").lower()):
            raise ConfigError("redis_tls_fingerprint must be 64 hexadecimal digits: openssl x509 -fingerprint -sha256")
        if settings.redis_ca_file is not None or not settings.redis_tls_verify:
            raise ConfigError(
                "redis_tls_fingerprint names the one certificate to trust: leave redis_ca_file and redis_tls_verify out"
            )
    _check_tls(settings, sources)
    _check_credentials(settings, sources)
    try:
        settings.rules()
    except ChannelError as error:
        raise ConfigError(str(error)) from None
    if not settings.prefix.isascii() or any(character.isspace() for character in settings.prefix):
        raise ConfigError("prefix must be ASCII without white space")
    if settings.prefix == "_" or settings.prefix.startswith("__"):
        raise ConfigError("prefix must not make names that begin with two underscores, as those of Redis itself do")
    idle = settings.router_idle_timeout_seconds
    if idle and settings.ping_interval_seconds >= idle:
        raise ConfigError(
            f"ping_interval_seconds ({settings.ping_interval_seconds:g}) must be below router_idle_timeout_seconds "
            f"({idle:g}): the router would end every quiet connection before its first ping. Lower the interval, "
            "or set router_idle_timeout_seconds to what your router allows (0 if there is none)"
        )
    if settings.host or (settings.listen_tls and "port" not in sources):
        return settings
    return dataclasses.replace(settings, host="127.0.0.1")


def _check_tls(settings: Settings, sources: Mapping[str, str]) -> None:
    if bool(settings.listen_tls) != bool(settings.tls_certificates):
        raise ConfigError("listen_tls and tls_certificates belong together: set both or none")
    if "tls_min_version" in sources and not settings.listen_tls:
        raise ConfigError("tls_min_version means nothing without listen_tls")
    endpoints = (*settings.listen, *settings.listen_tls)
    if settings.trusted_proxies and any(text.startswith("haproxy:") for text in endpoints):
        raise ConfigError(
            "haproxy: takes the client's address from the PROXY protocol, trusted_proxies from X-Forwarded-For, which "
            "the client itself may write: leave one of the two out"
        )
    if settings.tls_min_version not in ("1.2", "1.3"):
        raise ConfigError(f"tls_min_version must be 1.2 or 1.3, not {settings.tls_min_version!r}")


def _check_credentials(settings: Settings, sources: Mapping[str, str]) -> None:
    OriginPolicy(settings.origins, require=settings.require_origin)
    if settings.token_keys is not None and settings.token_jwks_url is not None:
        raise ConfigError("token_keys and token_jwks_url both say which keys tokens are checked with: leave one out")
    has_keys = settings.token_keys is not None or settings.token_jwks_url is not None
    _check_company("token_", has_keys, ("token_keys", "token_jwks_url"), sources)
    _check_company("hook_", settings.hook_url is not None, ("hook_url",), sources)
    if settings.token_cookie is not None and _COOKIE_NAME.fullmatch(settings.token_cookie) is None:
        raise ConfigError("token_cookie must be the name of a cookie")
    if strange := [name for name in settings.hook_forward_headers if name not in ("cookie", "authorization")]:
        raise ConfigError(f"hook_forward_headers may hold cookie and authorization, not {strange[0]!r}")
    takes_cookies = settings.token_cookie is not None or (
        settings.hook_url is not None and "cookie" in settings.hook_forward_headers
    )
    if takes_cookies and {"*", "null"} & set(settings.origins):
        raise ConfigError(
            "origins must not hold * or null where cookies count: any page could use its visitors'. List the pages, or "
            "leave token_cookie out, and cookie out of hook_forward_headers"
        )
    if not all(key.reveal().isascii() for key in settings.api_keys):
        raise ConfigError("api_keys must be ASCII: HTTP has no other characters for them")
    if any(len(key.reveal()) < LEAST_KEY_CHARACTERS for key in settings.api_keys):
        raise ConfigError(
            f"each of api_keys must have at least {LEAST_KEY_CHARACTERS} characters, for instance from: "
            "openssl rand -hex 32"
        )


def _check_company(prefix: str, is_on: bool, heads: tuple[str, ...], sources: Mapping[str, str]) -> None:
    """Settings that mean nothing by themselves are somebody's mistake, or a protection that is not there."""
    alone = [name for name in sources if name.startswith(prefix) and name not in heads]
    if alone and not is_on:
        raise ConfigError(f"{alone[0]} means nothing without {' or '.join(heads)}")
