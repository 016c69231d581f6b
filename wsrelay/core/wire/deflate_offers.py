"""Offers of permessage-deflate in Sec-WebSocket-Extensions (RFC 7692 section 5.1, RFC 6455 section 9.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wsrelay.core.wire.deflate import WINDOW_BITS

__all__ = ["acceptable_offer"]

_NAME = b"permessage-deflate"

# A list of extensions with parameters, whose values are tokens or quoted tokens (RFC 6455 section 9.1).
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rb"\s*;\s*(%b)(?:\s*=\s*(?:(%b)|\"(%b)\"))?" % (_TOKEN, _TOKEN, _TOKEN))
_EXTENSION = re.compile(rb"\s*(%b)((?:%b)*)\s*" % (_TOKEN, _PARAMETER.pattern))

# RFC 7692 section 7.1.2: 8 to 15, without leading zeros.
_WINDOW_BITS = re.compile(rb"8|9|1[0-5]")


def acceptable_offer(values: Iterable[bytes], user_agent: bytes = b"") -> bytes | None:
    """Return the first offer that the relay can accept.

    An offer that is malformed, unknown or asks for what the relay does not do is declined, and the next one is looked
    at, as RFC 7692 sections 5.1 and 7.1 say: it must not fail the handshake.

    Args:
        values: The values of the header field, one for each line of it.
        user_agent: The client's User-Agent field. Those that are known to break what they agree to are declined.

    Returns:
        The offer with the parameters that the answer depends on, or None.
    """
    for value in values:
        # A comma cannot stand in a token, quoted or not.
        for text in value.split(b","):
            found = _EXTENSION.fullmatch(text)
            if found is not None and found[1] == _NAME and (parameters := _read_parameters(found[2])) is not None:
                return None if _breaks_context_rule(user_agent) else b"; ".join((_NAME, *parameters))
    return None


def _breaks_context_rule(user_agent: bytes) -> bool:
    """Return whether a client is known to compress with context although it agreed not to.

    Safari 15 to 17 and apps with URLSession do, so that every message but the first is garbled
    (https://github.com/uNetworking/uWebSockets/issues/1347,
    https://github.com/TheThingsNetwork/lorawan-stack/issues/6782). On iOS every browser is Safari. Chrome and its
    descendants name AppleWebKit, too.
    """
    is_chrome = b"Chrome/" in user_agent or b"Chromium/" in user_agent
    return (b"AppleWebKit/" in user_agent and not is_chrome) or b"CFNetwork/" in user_agent


def _read_parameters(text: bytes) -> list[bytes] | None:
    """Return the parameters that the answer repeats, or None if the offer is to be declined."""
    seen: set[bytes] = set()
    repeated: list[bytes] = []
    for name, token, quoted in _PARAMETER.findall(text):
        value = token or quoted
        if name in seen:
            return None
        seen.add(name)
        if name in (b"server_no_context_takeover", b"client_no_context_takeover"):
            if value:
                return None
        elif name == b"server_max_window_bits":
            # A client that can only undo a smaller window than that of the one compressor cannot read what all get.
            if _WINDOW_BITS.fullmatch(value) is None or int(value) < WINDOW_BITS:
                return None
            repeated.append(name + b"=" + value)
        elif name == b"client_max_window_bits":
            # A hint that needs no answer (section 7.1.2.2): the relay decompresses any window.
            if value and _WINDOW_BITS.fullmatch(value) is None:
                return None
        else:
            return None
    return repeated
