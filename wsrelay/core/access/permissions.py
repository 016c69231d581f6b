"""Authorization: the rule of a channel's namespace, applied to the identity of a client.

======================= ========================================================================================
rule                    permits
======================= ========================================================================================
``public``              every client
``authenticated``       authenticated clients; if the credential lists channels (for publishing: channels to
                        publish to), on those only
``token``               authenticated clients whose credential lists the channel
``nobody``              no client
``{sub}`` in a pattern  as above, and only the user whose name the channel's name ends with
``#`` in the name       as above, ``public`` as ``authenticated``, and only the users that it lists
======================= ========================================================================================
"""

from __future__ import annotations

from wsrelay.core.access.identity import Identity
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.channel_names import listed_users
from wsrelay.core.messaging.commands import Subscribe
from wsrelay.core.messaging.namespaces import Access, Namespaces
from wsrelay.core.outcomes.client_errors import ClientError

__all__ = [
    "check_channel_exists",
    "check_has_history",
    "check_newest",
    "check_publish",
    "check_read_history",
    "check_read_presence",
    "check_subscribe",
    "server_subscriptions",
]


def check_channel_exists(namespaces: Namespaces, channel: str) -> ClientError | None:
    """Check whether any client may subscribe to a channel.

    Returns:
        None if the answer depends on the client. Else why no client may: the error that `check_subscribe` returns for
        every identity.
    """
    namespace = namespaces.rule(channel)
    if namespace is None:
        return ClientError.UNKNOWN_CHANNEL
    return ClientError.SUBSCRIBE_DENIED if namespace.subscribe is Access.NOBODY else None


def check_newest(namespaces: Namespaces, identity: Identity, command: Subscribe) -> ClientError | None:
    """Check whether a client may ask for the newest publications of a channel first.

    Returns:
        None if it does not ask for them, or may have them. Else why not.
    """
    if not command.newest:
        return None
    error = check_read_history(namespaces, identity, command.channel)
    return ClientError.NO_HISTORY if error is ClientError.NOT_SUPPORTED else error


def check_has_history(namespaces: Namespaces, command: Subscribe) -> ClientError | None:
    """Check whether any client may ask for the newest publications of a channel first.

    Returns:
        None if it does not ask for them, or the channel keeps them. Else why not.
    """
    if not command.newest:
        return None
    namespace = namespaces.rule(command.channel)
    return ClientError.NO_HISTORY if namespace is None or not namespace.has_history else None


def check_subscribe(
    namespaces: Namespaces, identity: Identity, channel: str, *, is_granted: bool = False
) -> ClientError | None:
    """Check whether a client may subscribe to a channel.

    Args:
        namespaces: The rules.
        identity: The client's identity.
        channel: The channel.
        is_granted: Whether an issuer permits this client this channel by its name: by a subscription token, by `subs`
            of its credential, or by the application that subscribes it. That counts as a credential that lists the
            channel, whatever `channels` lists.

    Returns:
        None if it may. Else why not.
    """
    found = namespaces.find(channel)
    if found is None:
        return ClientError.UNKNOWN_CHANNEL
    namespace, owner = found
    return _check_level(namespace.subscribe, identity, channel, owner, is_granted=is_granted)


def check_read_history(
    namespaces: Namespaces, identity: Identity, channel: str, *, is_granted: bool = False
) -> ClientError | None:
    """Check whether a client may ask for what a channel keeps. See `check_subscribe` for the arguments.

    Returns:
        None if it may. Else why not: `ClientError.NOT_SUPPORTED` if the channel keeps nothing.
    """
    found = namespaces.find(channel)
    if found is None:
        return ClientError.UNKNOWN_CHANNEL
    namespace, owner = found
    if not namespace.has_history:
        return ClientError.NOT_SUPPORTED
    level = namespace.read_history or namespace.subscribe
    return _check_level(level, identity, channel, owner, is_granted=is_granted)


def check_read_presence(
    namespaces: Namespaces, identity: Identity, channel: str, *, is_granted: bool = False
) -> ClientError | None:
    """Check whether a client may ask who is subscribed to a channel. See `check_subscribe` for the arguments.

    Returns:
        None if it may. Else why not: `ClientError.NOT_SUPPORTED` if nobody may.
    """
    found = namespaces.find(channel)
    if found is None:
        return ClientError.UNKNOWN_CHANNEL
    namespace, owner = found
    if not namespace.presence:
        return ClientError.NOT_SUPPORTED
    level = namespace.read_presence or namespace.subscribe
    return _check_level(level, identity, channel, owner, is_granted=is_granted)


def server_subscriptions(namespaces: Namespaces, identity: Identity) -> list[ServerSubscription]:
    """Return what the server subscribes a client to when it connects, in dialects in which it can do that.

    Returns:
        Those of the client's `subs` and, behind them, of the names in its `channels` that it may subscribe to, and the
        channel of its user; each channel once; at most `MAX_SUBSCRIPTIONS` and `MAX_PATTERNS` together, and one.
    """
    if identity.subject is None and not identity.subs and not identity.channels:
        return []
    found = {
        each.channel: each
        for each in identity.subs
        if check_subscribe(namespaces, identity, each.channel, is_granted=True) is None
    }
    # What ends in * is a pattern, as no name does.
    names = [channel for channel in identity.channels or () if not channel.endswith("*")]
    if identity.subject is not None and (own := namespaces.personal_channel(identity.subject)) is not None:
        names.append(own)
    for channel in names:
        if check_subscribe(namespaces, identity, channel) is None:
            found.setdefault(channel, ServerSubscription(channel))
    return list(found.values())


def check_publish(namespaces: Namespaces, identity: Identity, channel: str) -> ClientError | None:
    """Check whether a client may publish to a channel.

    Returns:
        None if it may. Else why not.
    """
    found = namespaces.find(channel)
    if found is None or found[0].publish is Access.NOBODY:
        return ClientError.PUBLISH_DENIED
    namespace, owner = found
    users = listed_users(channel)
    if namespace.publish is Access.PUBLIC and users is None:
        return None
    permitted = (
        identity.is_authenticated
        and _is_owner(identity, owner, users)
        # A credential that lists channels to publish to permits those; any other one the channels that it is for.
        and (_is_for(identity, channel) if identity.publish is None else identity.lists_for_publish(channel))
        and (namespace.publish is not Access.TOKEN or identity.publish is not None)
    )
    return None if permitted else ClientError.PUBLISH_DENIED


def _check_level(
    level: Access, identity: Identity, channel: str, owner: str | None, *, is_granted: bool
) -> ClientError | None:
    if level is Access.NOBODY:
        return ClientError.SUBSCRIBE_DENIED
    users = listed_users(channel)
    if level is Access.PUBLIC and users is None:
        return None
    if not identity.is_authenticated and not is_granted:
        return ClientError.NO_CREDENTIAL
    if not _is_owner(identity, owner, users):
        return ClientError.CHANNEL_DENIED
    if is_granted:
        return None
    if not _is_for(identity, channel):
        return ClientError.CHANNEL_DENIED
    return ClientError.CHANNEL_DENIED if level is Access.TOKEN and identity.channels is None else None


def _is_owner(identity: Identity, owner: str | None, users: tuple[str, ...] | None) -> bool:
    """Return whether a client is who a channel belongs to, by its pattern and by its name."""
    if owner is None and users is None:
        return True
    subject = identity.subject if identity.is_authenticated else None
    return owner in (None, subject) and (users is None or subject in users)


def _is_for(identity: Identity, channel: str) -> bool:
    return identity.channels is None or identity.lists_channel(channel)
