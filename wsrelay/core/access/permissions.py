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
from wsrelay.core.outcomes.client_errors import ClientError

__all__ = ["check_channel_exists", "check_publish", "check_subscribe"]


def check_channel_exists(namespaces: Namespaces, channel: str) -> ClientError | None:
    """Why no client at all may listen to a channel, whoever it is; None where some may."""
    namespace = namespaces.rule(channel)
    if namespace is None:
        return ClientError.UNKNOWN_CHANNEL
    return ClientError.SUBSCRIBE_DENIED if namespace.subscribe is Access.NOBODY else None


def check_subscribe(namespaces: Namespaces, identity: Identity, channel: str) -> ClientError | None:
    """Why a client may not listen to a channel; None where it may."""
    found = namespaces.find(channel)
    if found is None:
        return ClientError.UNKNOWN_CHANNEL
    namespace, owner = found
    if namespace.subscribe is Access.NOBODY:
        return ClientError.SUBSCRIBE_DENIED
    if namespace.subscribe is Access.PUBLIC:
        return None
    if not identity.is_authenticated:
        return ClientError.NO_CREDENTIAL
    if not _is_owner(identity, owner) or not _is_for(identity, channel):
        return ClientError.CHANNEL_DENIED
    return ClientError.CHANNEL_DENIED if namespace.subscribe is Access.TOKEN and identity.channels is None else None


def check_publish(namespaces: Namespaces, identity: Identity, channel: str) -> ClientError | None:
    """Why a client may not publish to a channel; None where it may."""
    found = namespaces.find(channel)
    if found is None or found[0].publish is Access.NOBODY:
        return ClientError.PUBLISH_DENIED
    namespace, owner = found
    if namespace.publish is Access.PUBLIC:
        return None
    permitted = (
        identity.is_authenticated
        and _is_owner(identity, owner)
        # What names channels to publish to says by itself which; else those that the credential is for.
        and (_is_for(identity, channel) if identity.publish is None else identity.lists_for_publish(channel))
        and (namespace.publish is not Access.TOKEN or identity.publish is not None)
    )
    return None if permitted else ClientError.PUBLISH_DENIED


def _is_owner(identity: Identity, owner: str | None) -> bool:
    return owner is None or identity.subject == owner


def _is_for(identity: Identity, channel: str) -> bool:
    return identity.channels is None or identity.lists_channel(channel)
