"""Registers the subcommand `twistd wsrelay`.

Every twistd of this environment imports this file to list its subcommands, so it imports nothing of wsrelay.
"""

from twisted.application.service import ServiceMaker

wsrelay = ServiceMaker(
    "wsrelay",
    "wsrelay.tap",
    "Put WebSockets in front of Redis: relay Pub/Sub channels to browsers.",
    "wsrelay",
)
