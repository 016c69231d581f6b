"""The choice of what the publications of a namespace may be."""

from __future__ import annotations

from enum import Enum

__all__ = ["PayloadType"]


class PayloadType(Enum):
    """The kind of data that publications have to be in order to be sent. A namespace chooses.

    Attributes:
        value: The operator's word for it.
    """

    ANY = "any"
    """Any bytes. Clients whose protocol carries JSON get a JSON string of what is none."""

    JSON = "json"
    """JSON. Anything else is sent to nobody, and counted: for pages that read every message as JSON."""
