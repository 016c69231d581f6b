"""The answer to an offer of permessage-deflate (RFC 7692)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from wsrelay.core.wire.deflate import WINDOW_BITS

__all__ = ["accept_offer"]


def accept_offer(extensions: Iterable[tuple[str, dict[str, Any]]]) -> PerMessageDeflateOfferAccept | None:
    """Return the answer to the first offer that can be accepted, or None.

    Neither side keeps a context between messages: what goes out is compressed once for everybody, and what comes in
    needs no memory on this side while a client is silent.

    Args:
        extensions: What the client offers: names and parameters, as Autobahn reads them.
    """
    for name, parameters in extensions:
        if name != PerMessageDeflateOffer.EXTENSION_NAME:
            continue
        try:
            offer = PerMessageDeflateOffer.parse(parameters)
            # A client that can only undo a smaller window cannot read what everybody else is sent.
            if not 0 < offer.request_max_window_bits < WINDOW_BITS:
                return PerMessageDeflateOfferAccept(
                    offer, request_no_context_takeover=True, no_context_takeover=True, window_bits=WINDOW_BITS
                )
        except Exception:  # noqa: BLE001, S112 -- Autobahn raises nothing narrower; section 5.1: decline what is odd
            continue
    return None
