"""Tests of `wsrelay.core.access.permissions`."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.permissions import (
    check_channel_exists,
    check_publish,
    check_read_history,
    check_read_presence,
    check_subscribe,
    server_subscriptions,
)
from wsrelay.core.access.server_subscriptions import ServerSubscription
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ChannelError

# Identities by what their credentials list, of the channel `room` and others.
IDENTITIES_BY_NAME = {
    "anonymous": ANONYMOUS,
    "rejected": Identity(is_authenticated=False, cookie_error=ClientError.TOKEN),
    "plain": Identity("42"),
    "nameless": Identity(),
    "reads it": Identity("42", channels=("room",)),
    "reads others": Identity("42", channels=("x", "room:*")),
    "reads none": Identity("42", channels=()),
    "writes it": Identity("42", publish=("room",)),
    "writes others": Identity("42", publish=("x",)),
    "both": Identity("42", channels=("room",), publish=("roo*",)),
    "reads it, writes others": Identity("42", channels=("room",), publish=("x",)),
    "reads others, writes it": Identity("42", channels=("x",), publish=("room",)),
    # Claims of a client that is not authenticated count for nothing.
    "claims": Identity("42", channels=("*",), publish=("*",), is_authenticated=False),
}
MAY_SUBSCRIBE = {
    Access.PUBLIC: set(IDENTITIES_BY_NAME),
    Access.AUTHENTICATED: {"plain", "nameless", "reads it", "writes it", "writes others", "both"}
    | {"reads it, writes others"},
    Access.TOKEN: {"reads it", "both", "reads it, writes others"},
    Access.NOBODY: set(),
}
MAY_PUBLISH = {
    Access.PUBLIC: set(IDENTITIES_BY_NAME),
    Access.AUTHENTICATED: {"plain", "nameless", "reads it", "writes it", "both", "reads others, writes it"},
    Access.TOKEN: {"writes it", "both", "reads others, writes it"},
    Access.NOBODY: set(),
}
NOT_AUTHENTICATED = ("anonymous", "rejected", "claims")

SUBJECTS = (
    st.none() | st.text(max_size=4) | st.text("a:b4{}sub*", min_size=1, max_size=6) | st.sampled_from(["4", "42"])
)
PATTERNS = st.none() | st.lists(st.sampled_from(["*", "user:*", "user:42", "user:4*", "room", "u*"]), max_size=3).map(
    tuple
)
IDENTITIES = st.builds(
    Identity,
    subject=SUBJECTS,
    channels=PATTERNS,
    publish=PATTERNS,
    is_authenticated=st.booleans(),
    cookie_error=st.none(),
)
CHANNELS = st.sampled_from(["room", "user:", "user:42", "user:4", "user:a:b"]) | SUBJECTS.map(lambda sub: f"user:{sub}")
CLOSED = st.sampled_from([Access.AUTHENTICATED, Access.TOKEN, Access.NOBODY])


def ruled(subscribe: Access = Access.PUBLIC, publish: Access = Access.NOBODY, pattern: str = "room") -> Namespaces:
    """Return the rules of one namespace."""
    return Namespaces([Namespace("n", (pattern,), subscribe, publish)])


class SubscribeTests(SynchronousTestCase):
    """`check_subscribe`."""

    def test_each_access_level_permits_its_clients_to_subscribe(self) -> None:
        for access in Access:
            rules = ruled(subscribe=access)
            permitted = {
                name
                for name, identity in IDENTITIES_BY_NAME.items()
                if check_subscribe(rules, identity, "room") is None
            }
            self.assertEqual(permitted, MAY_SUBSCRIBE[access], access)

    def test_anonymous_clients_need_a_credential_and_others_another_one(self) -> None:
        for access in (Access.AUTHENTICATED, Access.TOKEN):
            for name, identity in IDENTITIES_BY_NAME.items():
                client_error = check_subscribe(ruled(subscribe=access), identity, "room")
                if client_error is not None:
                    expected = ClientError.NO_CREDENTIAL if name in NOT_AUTHENTICATED else ClientError.CHANNEL_DENIED
                    self.assertIs(client_error, expected, (access, name))
        for identity in IDENTITIES_BY_NAME.values():
            self.assertIs(
                check_subscribe(ruled(subscribe=Access.NOBODY), identity, "room"), ClientError.SUBSCRIBE_DENIED
            )

    def test_unknown_channel_exists_for_no_client(self) -> None:
        for identity in IDENTITIES_BY_NAME.values():
            self.assertIs(check_subscribe(ruled(), identity, "lobby"), ClientError.UNKNOWN_CHANNEL)

    def test_publish_rule_does_not_affect_subscribe(self) -> None:
        for publish in Access:
            for identity in IDENTITIES_BY_NAME.values():
                self.assertEqual(
                    check_subscribe(ruled(Access.TOKEN, publish), identity, "room"),
                    check_subscribe(ruled(Access.TOKEN), identity, "room"),
                )


class GrantTests(SynchronousTestCase):
    """Channels that an issuer permits a client by their names."""

    def test_grant_permits_what_needs_a_credential_to_every_client(self) -> None:
        for access in Access:
            for name, identity in IDENTITIES_BY_NAME.items():
                error = check_subscribe(ruled(subscribe=access), identity, "room", is_granted=True)
                self.assertIs(error, ClientError.SUBSCRIBE_DENIED if access is Access.NOBODY else None, (access, name))

    def test_grant_counts_for_what_the_channel_keeps_and_who_is_on_it(self) -> None:
        for access in Access:
            rules = Namespaces([Namespace("n", ("room",), access, history_size=1, presence=True)])
            expected = ClientError.SUBSCRIBE_DENIED if access is Access.NOBODY else None
            for check in (check_read_history, check_read_presence):
                self.assertIs(check(rules, ANONYMOUS, "room", is_granted=True), expected)

    def test_grant_makes_no_channel(self) -> None:
        error = check_subscribe(ruled(), Identity("42"), "lobby", is_granted=True)
        self.assertIs(error, ClientError.UNKNOWN_CHANNEL)

    def test_grant_opens_no_channel_of_another_user(self) -> None:
        rules = ruled(Access.TOKEN, pattern="user:{sub}")
        self.assertIsNone(check_subscribe(rules, Identity("42"), "user:42", is_granted=True))
        for identity in (Identity("4"), Identity(), ANONYMOUS, Identity("42", is_authenticated=False)):
            error = check_subscribe(rules, identity, "user:42", is_granted=True)
            self.assertIs(error, ClientError.CHANNEL_DENIED)

    @given(st.sampled_from(Access), IDENTITIES, CHANNELS, st.sampled_from(["*", "user:*", "user:{sub}", "room"]))
    def test_grant_takes_nothing_away(self, access: Access, identity: Identity, channel: str, pattern: str) -> None:
        assume(not (pattern.endswith("{sub}") and access is Access.PUBLIC))
        rules = ruled(access, pattern=pattern)
        if check_subscribe(rules, identity, channel) is None:
            self.assertIsNone(check_subscribe(rules, identity, channel, is_granted=True))


class ServerSubscriptionTests(SynchronousTestCase):
    """`server_subscriptions`."""

    def channels(self, identity: Identity, *namespaces: Namespace) -> list[str]:
        """Return the channels that the server subscribes a client to."""
        return [each.channel for each in server_subscriptions(Namespaces(namespaces), identity)]

    def test_subs_and_names_in_channels_are_subscribed_and_patterns_are_not(self) -> None:
        subs = (ServerSubscription("b", b"1", b"2"), ServerSubscription("c"))
        identity = Identity("42", channels=("a", "b", "room:*", "*", "a"), subs=subs)
        everything = Namespace("all", ("*",), Access.TOKEN)
        self.assertEqual(server_subscriptions(Namespaces([everything]), identity), [*subs, ServerSubscription("a")])
        self.assertEqual(self.channels(Identity("42"), everything), [])
        self.assertEqual(self.channels(ANONYMOUS, everything), [])

    def test_channel_of_the_user_is_subscribed_where_there_is_one(self) -> None:
        everything = Namespace("all", ("*",))
        for pattern, user, expected in (
            ("#{sub}", "42", ["#42"]),
            ("user:{sub}", "42", ["user:42"]),
            ("#{sub}", None, []),
            ("#{sub}", "4,2", []),
            ("#{sub}", "4#2", []),
            ("#{sub}", "a b", []),
            ("", "42", []),
        ):
            found = server_subscriptions(Namespaces([everything], pattern), Identity(user))
            self.assertEqual([each.channel for each in found], expected, (pattern, user))
        no_own = Namespaces([Namespace("a", ("a",))], "#{sub}")
        self.assertEqual(server_subscriptions(no_own, Identity("42")), [])

    def test_what_the_namespaces_do_not_permit_is_left_out(self) -> None:
        identity = Identity(
            "42",
            channels=("shut", "user:42", "user:43", "none", "open"),
            subs=tuple(map(ServerSubscription, ("shut:2", "user:41", "other", "token"))),
        )
        self.assertEqual(
            self.channels(
                identity,
                Namespace("shut", ("shut*",), Access.NOBODY),
                Namespace("own", ("user:{sub}",), Access.AUTHENTICATED),
                Namespace("open", ("open",)),
                Namespace("token", ("token",), Access.TOKEN),
            ),
            ["token", "user:42", "open"],
        )


class PublishTests(SynchronousTestCase):
    """`check_publish`."""

    def test_each_access_level_permits_its_clients_to_publish(self) -> None:
        for subscribe in Access:
            for access in Access:
                rules = ruled(subscribe, access)
                rejections = {
                    name: check_publish(rules, identity, "room") for name, identity in IDENTITIES_BY_NAME.items()
                }
                permitted = {name for name, client_error in rejections.items() if client_error is None}
                self.assertEqual(permitted, MAY_PUBLISH[access], (subscribe, access))
                self.assertLessEqual(set(rejections.values()), {None, ClientError.PUBLISH_DENIED})

    def test_unknown_channel_permits_no_publish(self) -> None:
        for identity in IDENTITIES_BY_NAME.values():
            self.assertIs(check_publish(ruled(publish=Access.PUBLIC), identity, "lobby"), ClientError.PUBLISH_DENIED)


class AnybodyTests(SynchronousTestCase):
    """`check_channel_exists`."""

    def test_channel_exists_unless_no_client_may_subscribe(self) -> None:
        self.assertEqual(
            {access: check_channel_exists(ruled(subscribe=access), "room") for access in Access},
            {**dict.fromkeys(Access), Access.NOBODY: ClientError.SUBSCRIBE_DENIED},
        )
        self.assertIs(check_channel_exists(ruled(), "lobby"), ClientError.UNKNOWN_CHANNEL)

    @given(st.sampled_from(Access), IDENTITIES, CHANNELS)
    def test_missing_channel_has_the_same_error_for_every_identity(
        self, access: Access, identity: Identity, channel: str
    ) -> None:
        rules = ruled(subscribe=access, pattern="user:*")
        client_error = check_channel_exists(rules, channel)
        if client_error is not None:
            self.assertIs(check_subscribe(rules, identity, channel), client_error)


class OwnerTests(SynchronousTestCase):
    """Channels of ``{sub}`` patterns."""

    def test_only_the_owner_may_use_its_channel(self) -> None:
        for access, permitted in (
            (Access.AUTHENTICATED, {"owner", "owner, names it", "owner, names all"}),
            (Access.TOKEN, {"owner, names it", "owner, names all"}),
            (Access.NOBODY, set()),
        ):
            rules = ruled(access, access, "user:{sub}")
            for patterns, suffix in (
                (None, ""),
                (("user:42",), ", names it"),
                (("*",), ", names all"),
                (("x",), ", names x"),
            ):
                for subject, user in (
                    ("42", "owner"),
                    ("4", "other"),
                    ("422", "other"),
                    (None, "other"),
                    ("user:42", "other"),
                ):
                    identity = Identity(subject, channels=patterns, publish=patterns)
                    may_subscribe = check_subscribe(rules, identity, "user:42") is None
                    may_publish = check_publish(rules, identity, "user:42") is None
                    expected = user + suffix in permitted
                    self.assertEqual((may_subscribe, may_publish), (expected, expected), (access, subject, patterns))

    def test_other_users_are_denied_and_anonymous_clients_need_a_credential(self) -> None:
        rules = ruled(Access.AUTHENTICATED, pattern="user:{sub}")
        self.assertIs(check_subscribe(rules, Identity("41"), "user:42"), ClientError.CHANNEL_DENIED)
        self.assertIs(check_subscribe(rules, ANONYMOUS, "user:42"), ClientError.NO_CREDENTIAL)

    def test_prefix_alone_is_no_channel_of_any_user(self) -> None:
        rules = ruled(Access.AUTHENTICATED, Access.AUTHENTICATED, "user:{sub}")
        for subject in (None, "", "{sub}"):
            self.assertIs(check_subscribe(rules, Identity(subject), "user:"), ClientError.UNKNOWN_CHANNEL)
            self.assertIs(check_publish(rules, Identity(subject), "user:"), ClientError.PUBLISH_DENIED)


class ListedUserTests(SynchronousTestCase):
    """Channels whose names list the users that they belong to."""

    def test_only_listed_users_may_use_a_channel_whatever_the_level(self) -> None:
        for access in Access:
            for name in ("#42", "team:#42", "team:x#41,42,"):
                for identity, is_listed in (
                    (Identity("42", channels=("*",), publish=("*",)), True),
                    (Identity("4", channels=(name,), publish=(name,)), False),
                    (Identity("41,42", channels=(name,), publish=(name,)), False),
                    (Identity("", channels=(name,), publish=(name,)), False),
                    (Identity(None, channels=(name,), publish=(name,)), False),
                    (Identity("42", channels=("*",), publish=("*",), is_authenticated=False), False),
                    (ANONYMOUS, False),
                ):
                    rules = ruled(access, access, "*")
                    expected = is_listed and access is not Access.NOBODY
                    may_subscribe = check_subscribe(rules, identity, name) is None
                    may_publish = check_publish(rules, identity, name) is None
                    self.assertEqual((may_subscribe, may_publish), (expected, expected), (access, name, identity))

    def test_public_is_authenticated_there(self) -> None:
        rules = ruled(Access.PUBLIC, Access.PUBLIC, "*")
        self.assertIs(check_subscribe(rules, ANONYMOUS, "#42"), ClientError.NO_CREDENTIAL)
        self.assertIs(check_subscribe(rules, Identity("4"), "#42"), ClientError.CHANNEL_DENIED)
        for channels, may in ((None, True), (("#42",), True), (("room",), False)):
            identity = Identity("42", channels=channels)
            self.assertEqual(check_subscribe(rules, identity, "#42") is None, may)
            self.assertEqual(check_publish(rules, identity, "#42") is None, may)

    def test_channel_that_lists_no_user_is_nobodys(self) -> None:
        rules = ruled(Access.PUBLIC, Access.PUBLIC, "*")
        for name in ("#", "team:#", "#42#", "#,"):
            for subject in ("42", "", None):
                self.assertIs(check_subscribe(rules, Identity(subject), name), ClientError.CHANNEL_DENIED)
                self.assertIs(check_publish(rules, Identity(subject), name), ClientError.PUBLISH_DENIED)

    def test_owner_by_pattern_has_to_be_listed_as_well(self) -> None:
        rules = Namespaces([Namespace("own", ("user:{sub}", "#{sub}"), Access.AUTHENTICATED)])
        for name, subject, may in (
            ("#42", "42", True),
            ("#41,42", "42", False),
            ("#41,42", "41,42", False),
            ("user:a#42", "42", False),
            ("user:a#42", "a#42", False),
        ):
            self.assertEqual(check_subscribe(rules, Identity(subject), name) is None, may, (name, subject))

    def test_grant_opens_the_channel_to_no_other_user(self) -> None:
        rules = ruled(Access.TOKEN, pattern="*")
        self.assertIsNone(check_subscribe(rules, Identity("42"), "#42", is_granted=True))
        for identity in (Identity("4"), ANONYMOUS):
            error = check_subscribe(rules, identity, "#42", is_granted=True)
            self.assertIs(error, ClientError.CHANNEL_DENIED)

    @given(
        st.sampled_from(Access),
        st.sampled_from(Access),
        IDENTITIES,
        st.text("4a#,:", min_size=1, max_size=6),
        st.booleans(),
    )
    def test_client_that_may_use_such_a_channel_is_listed_in_its_name(
        self, subscribe: Access, publish: Access, identity: Identity, name: str, is_granted: bool
    ) -> None:
        rules = ruled(subscribe, publish, "*")
        name = f"a#{name}"
        for error in (
            check_subscribe(rules, identity, name, is_granted=is_granted),
            check_publish(rules, identity, name),
        ):
            if error is None:
                self.assertTrue(identity.is_authenticated and identity.subject)
                self.assertIn(identity.subject, name.split("#")[-1].split(","))

    @given(st.sampled_from(Access), IDENTITIES, st.text("4a,:", min_size=1, max_size=6))
    def test_names_without_the_mark_are_as_ever(self, access: Access, identity: Identity, name: str) -> None:
        error = check_subscribe(ruled(access, pattern="*"), identity, name)
        if access is Access.PUBLIC:
            self.assertIsNone(error)


class PropertyTests(SynchronousTestCase):
    """Properties that hold for every identity."""

    @given(CLOSED, CLOSED, st.sampled_from(["*", "user:*", "user:{sub}", "room"]), IDENTITIES, CHANNELS)
    def test_anonymous_clients_pass_public_namespaces_only(
        self, subscribe: Access, publish: Access, pattern: str, identity: Identity, channel: str
    ) -> None:
        assume(not identity.is_authenticated)
        rules = ruled(subscribe, publish, pattern)
        self.assertIsNotNone(check_subscribe(rules, identity, channel))
        self.assertIsNotNone(check_publish(rules, identity, channel))

    @given(CLOSED, CLOSED, IDENTITIES, CHANNELS, st.booleans())
    @example(Access.AUTHENTICATED, Access.AUTHENTICATED, Identity(None), "user:None", False)
    @example(Access.AUTHENTICATED, Access.AUTHENTICATED, Identity(""), "user:", True)
    @example(Access.AUTHENTICATED, Access.AUTHENTICATED, Identity("{sub}"), "user:{sub}", True)
    def test_owned_channel_is_open_to_its_subject_only(
        self, subscribe: Access, publish: Access, identity: Identity, channel: str, with_rest: bool
    ) -> None:
        rest = [Namespace("rest", ("room", "u*"), Access.NOBODY)] if with_rest else []
        rules = Namespaces([Namespace("own", ("user:{sub}",), subscribe, publish), *rest])
        for client_error in (check_subscribe(rules, identity, channel), check_publish(rules, identity, channel)):
            if client_error is None:
                self.assertTrue(identity.is_authenticated)
                self.assertEqual(channel, f"user:{identity.subject}")
                self.assertNotIn(identity.subject, (None, ""))

    @given(st.text("ab4:.~@-", min_size=1, max_size=8))
    def test_every_user_has_access_to_its_own_channel(self, subject: str) -> None:
        try:
            check_channel(f"user:{subject}")
        except ChannelError:
            self.fail("the strategy draws names that can stand there")
        rules = ruled(Access.AUTHENTICATED, Access.AUTHENTICATED, "user:{sub}")
        self.assertIsNone(check_subscribe(rules, Identity(subject), f"user:{subject}"))
        self.assertIsNone(check_publish(rules, Identity(subject), f"user:{subject}"))

    @given(st.sampled_from(Access), st.sampled_from(Access), IDENTITIES, PATTERNS, CHANNELS)
    def test_credential_that_lists_channels_opens_no_others(
        self, subscribe: Access, publish: Access, identity: Identity, patterns: tuple[str, ...] | None, channel: str
    ) -> None:
        assume(patterns is not None and identity.is_authenticated)
        narrow = Identity(identity.subject, channels=patterns, publish=patterns)
        rules = ruled(subscribe, publish, "user:*")
        if not narrow.lists_channel(channel):
            self.assertEqual(
                check_subscribe(rules, narrow, channel) is None, subscribe is Access.PUBLIC and channel[:5] == "user:"
            )
            self.assertEqual(
                check_publish(rules, narrow, channel) is None, publish is Access.PUBLIC and channel[:5] == "user:"
            )
