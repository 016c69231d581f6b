"""Makes `twistd wsrelay` exist.

Every twistd of this environment imports this file to list its subcommands, so it imports nothing of ours.
"""

from twisted.application.service import ServiceMaker

wsrelay = ServiceMaker(
    "wsrelay",
    "wsrelay.tap",
    "Put WebSockets in front of Redis: relay Pub/Sub channels to browsers.",
    "wsrelay",
)
