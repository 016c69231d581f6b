"""The table of attacks, by what is attacked."""

from devtools.attacks.scenarios import (
    api,
    channels,
    floods,
    framing,
    hook,
    http,
    layers,
    messages,
    origins,
    patience,
    revocations,
    smuggling,
    streams,
    tickets,
    tokens,
)

__all__ = [
    "api",
    "channels",
    "floods",
    "framing",
    "hook",
    "http",
    "layers",
    "messages",
    "origins",
    "patience",
    "revocations",
    "smuggling",
    "streams",
    "tickets",
    "tokens",
]
