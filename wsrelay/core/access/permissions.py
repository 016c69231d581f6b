"""What a client may do on a channel: its namespace's rule, applied to who it is.

======================= ========================================================================================
the namespace says      may
======================= ========================================================================================
``public``              everybody
``authenticated``       who showed a good credential; if that names channels (or, to publish, names channels to
                        publish to), only on those
``token``               who showed a good credential that names the channel
``nobody``              no client
``{sub}`` in a pattern  as above, and only the user that the channel's name ends with
======================= ========================================================================================
"""

from __future__ import annotations

from wsrelay.core.access.identity import Identity
from wsrelay.core.messaging.namespaces import Access, Namespaces
from wsrelay.core.outcomes.client_errors import Denial

__all__ = ["deny_anybody", "deny_publish", "deny_subscribe"]


def deny_anybody(namespaces: Namespaces, channel: str) -> Denial | None:
    """Why no client at all may listen to a channel, whoever it is; None where some may."""
    namespace = namespaces.rule(channel)
    if namespace is None:
        return Denial.UNKNOWN_CHANNEL
    return Denial.SUBSCRIBE_DENIED if namespace.subscribe is Access.NOBODY else None


def deny_subscribe(namespaces: Namespaces, identity: Identity, channel: str) -> Denial | None:
    """Why a client may not listen to a channel; None where it may."""
    found = namespaces.find(channel)
    if found is None:
        return Denial.UNKNOWN_CHANNEL
    namespace, owner = found
    if namespace.subscribe is Access.NOBODY:
        return Denial.SUBSCRIBE_DENIED
    if namespace.subscribe is Access.PUBLIC:
        return None
    if not identity.is_known:
        return Denial.NO_CREDENTIAL
    if not _is_owner(identity, owner) or not _is_for(identity, channel):
        return Denial.CHANNEL_DENIED
    return Denial.CHANNEL_DENIED if namespace.subscribe is Access.TOKEN and identity.channels is None else None


def deny_publish(namespaces: Namespaces, identity: Identity, channel: str) -> Denial | None:
    """Why a client may not publish to a channel; None where it may."""
    found = namespaces.find(channel)
    if found is None or found[0].publish is Access.NOBODY:
        return Denial.PUBLISH_DENIED
    namespace, owner = found
    if namespace.publish is Access.PUBLIC:
        return None
    permitted = (
        identity.is_known
        and _is_owner(identity, owner)
        # What names channels to publish to says by itself which; else those that the credential is for.
        and (_is_for(identity, channel) if identity.publish is None else identity.names_to_publish(channel))
        and (namespace.publish is not Access.TOKEN or identity.publish is not None)
    )
    return None if permitted else Denial.PUBLISH_DENIED


def _is_owner(identity: Identity, owner: str | None) -> bool:
    return owner is None or identity.subject == owner


def _is_for(identity: Identity, channel: str) -> bool:
    return identity.channels is None or identity.names(channel)
