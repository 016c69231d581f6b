"""Tests of `wsrelay.core.access.permissions`."""

from __future__ import annotations

from hypothesis import assume, example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.access.permissions import check_channel_exists, check_publish, check_subscribe
from wsrelay.core.messaging.channel_names import check_channel
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.errors import ChannelError

# Who there is: what their credentials name, of the channel `room` and others.
WHO = {
    "nobody": ANONYMOUS,
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
    # What is not vouched for counts for nothing, whatever it says.
    "claims": Identity("42", channels=("*",), publish=("*",), is_authenticated=False),
}
MAY_SUBSCRIBE = {
    Access.PUBLIC: set(WHO),
    Access.AUTHENTICATED: {"plain", "nameless", "reads it", "writes it", "writes others", "both"}
    | {"reads it, writes others"},
    Access.TOKEN: {"reads it", "both", "reads it, writes others"},
    Access.NOBODY: set(),
}
MAY_PUBLISH = {
    Access.PUBLIC: set(WHO),
    Access.AUTHENTICATED: {"plain", "nameless", "reads it", "writes it", "both", "reads others, writes it"},
    Access.TOKEN: {"writes it", "both", "reads others, writes it"},
    Access.NOBODY: set(),
}
UNKNOWN = ("nobody", "rejected", "claims")

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
    """The rules where one namespace says this."""
    return Namespaces([Namespace("n", (pattern,), subscribe, publish)])


class SubscribeTests(SynchronousTestCase):
    """Who may listen."""

    def test_table(self) -> None:
        """For each thing that a namespace can say these may listen and no others."""
        for access in Access:
            rules = ruled(subscribe=access)
            may = {who for who, identity in WHO.items() if check_subscribe(rules, identity, "room") is None}
            self.assertEqual(may, MAY_SUBSCRIBE[access], access)

    def test_reasons(self) -> None:
        """Who is not known is told to show something, who is known that it is not for this, and all that nobody may."""
        for access in (Access.AUTHENTICATED, Access.TOKEN):
            for who, identity in WHO.items():
                client_error = check_subscribe(ruled(subscribe=access), identity, "room")
                if client_error is not None:
                    expected = ClientError.NO_CREDENTIAL if who in UNKNOWN else ClientError.CHANNEL_DENIED
                    self.assertIs(client_error, expected, (access, who))
        for identity in WHO.values():
            self.assertIs(
                check_subscribe(ruled(subscribe=Access.NOBODY), identity, "room"), ClientError.SUBSCRIBE_DENIED
            )

    def test_unknown_channel(self) -> None:
        """A channel that no namespace names exists for nobody, whatever their credential names."""
        for identity in WHO.values():
            self.assertIs(check_subscribe(ruled(), identity, "lobby"), ClientError.UNKNOWN_CHANNEL)

    def test_publish_rule_does_not_matter(self) -> None:
        """Who may publish says nothing about who may listen."""
        for publish in Access:
            for identity in WHO.values():
                self.assertEqual(
                    check_subscribe(ruled(Access.TOKEN, publish), identity, "room"),
                    check_subscribe(ruled(Access.TOKEN), identity, "room"),
                )


class PublishTests(SynchronousTestCase):
    """Who may publish."""

    def test_table(self) -> None:
        """For each thing that a namespace can say these may publish and no others, whoever may listen."""
        for subscribe in Access:
            for access in Access:
                rules = ruled(subscribe, access)
                rejections = {who: check_publish(rules, identity, "room") for who, identity in WHO.items()}
                may = {who for who, client_error in rejections.items() if client_error is None}
                self.assertEqual(may, MAY_PUBLISH[access], (subscribe, access))
                self.assertLessEqual(set(rejections.values()), {None, ClientError.PUBLISH_DENIED})

    def test_unknown_channel(self) -> None:
        """Nobody publishes to a channel that no namespace names."""
        for identity in WHO.values():
            self.assertIs(check_publish(ruled(publish=Access.PUBLIC), identity, "lobby"), ClientError.PUBLISH_DENIED)


class AnybodyTests(SynchronousTestCase):
    """What can be said before anybody is known."""

    def test_table(self) -> None:
        """No client may listen where the namespace says nobody or there is none; else it depends on who comes."""
        self.assertEqual(
            {access: check_channel_exists(ruled(subscribe=access), "room") for access in Access},
            {**dict.fromkeys(Access), Access.NOBODY: ClientError.SUBSCRIBE_DENIED},
        )
        self.assertIs(check_channel_exists(ruled(), "lobby"), ClientError.UNKNOWN_CHANNEL)

    @given(st.sampled_from(Access), IDENTITIES, CHANNELS)
    def test_agrees(self, access: Access, identity: Identity, channel: str) -> None:
        """What is denied to anybody is denied to everybody, in the same words."""
        rules = ruled(subscribe=access, pattern="user:*")
        client_error = check_channel_exists(rules, channel)
        if client_error is not None:
            self.assertIs(check_subscribe(rules, identity, channel), client_error)


class OwnerTests(SynchronousTestCase):
    """Channels that belong to one user each."""

    def test_table(self) -> None:
        """Only the owner listens and publishes, and only where its credential is for that and names it if it must."""
        for access, may in (
            (Access.AUTHENTICATED, {"owner", "owner, names it", "owner, names all"}),
            (Access.TOKEN, {"owner, names it", "owner, names all"}),
            (Access.NOBODY, set()),
        ):
            rules = ruled(access, access, "user:{sub}")
            for patterns, name in (
                (None, ""),
                (("user:42",), ", names it"),
                (("*",), ", names all"),
                (("x",), ", names x"),
            ):
                for subject, who in (
                    ("42", "owner"),
                    ("4", "other"),
                    ("422", "other"),
                    (None, "other"),
                    ("user:42", "other"),
                ):
                    identity = Identity(subject, channels=patterns, publish=patterns)
                    heard = check_subscribe(rules, identity, "user:42") is None
                    spoken = check_publish(rules, identity, "user:42") is None
                    expected = who + name in may
                    self.assertEqual((heard, spoken), (expected, expected), (access, subject, patterns))

    def test_reasons(self) -> None:
        """Who is known and not the owner is told that the channel is another's; who is not known to show something."""
        rules = ruled(Access.AUTHENTICATED, pattern="user:{sub}")
        self.assertIs(check_subscribe(rules, Identity("41"), "user:42"), ClientError.CHANNEL_DENIED)
        self.assertIs(check_subscribe(rules, ANONYMOUS, "user:42"), ClientError.NO_CREDENTIAL)

    def test_nobody_s_own(self) -> None:
        """The beginning alone is no user's channel."""
        rules = ruled(Access.AUTHENTICATED, Access.AUTHENTICATED, "user:{sub}")
        for subject in (None, "", "{sub}"):
            self.assertIs(check_subscribe(rules, Identity(subject), "user:"), ClientError.UNKNOWN_CHANNEL)
            self.assertIs(check_publish(rules, Identity(subject), "user:"), ClientError.PUBLISH_DENIED)


class PropertyTests(SynchronousTestCase):
    """Whatever is asked, by whomever."""

    @given(CLOSED, CLOSED, st.sampled_from(["*", "user:*", "user:{sub}", "room"]), IDENTITIES, CHANNELS)
    def test_unknown_never_pass(
        self, subscribe: Access, publish: Access, pattern: str, identity: Identity, channel: str
    ) -> None:
        """Who is not known passes no namespace that is not public, whatever it claims."""
        assume(not identity.is_authenticated)
        rules = ruled(subscribe, publish, pattern)
        self.assertIsNotNone(check_subscribe(rules, identity, channel))
        self.assertIsNotNone(check_publish(rules, identity, channel))

    @given(CLOSED, CLOSED, IDENTITIES, CHANNELS, st.booleans())
    @example(Access.AUTHENTICATED, Access.AUTHENTICATED, Identity(None), "user:None", False)
    @example(Access.AUTHENTICATED, Access.AUTHENTICATED, Identity(""), "user:", True)
    @example(Access.AUTHENTICATED, Access.AUTHENTICATED, Identity("{sub}"), "user:{sub}", True)
    def test_owned_is_never_another_s(
        self, subscribe: Access, publish: Access, identity: Identity, channel: str, with_rest: bool
    ) -> None:
        """A channel of user:{sub} is open to the subject that its name ends with, and never to another one."""
        rest = [Namespace("rest", ("room", "u*"), Access.NOBODY)] if with_rest else []
        rules = Namespaces([Namespace("own", ("user:{sub}",), subscribe, publish), *rest])
        for client_error in (check_subscribe(rules, identity, channel), check_publish(rules, identity, channel)):
            if client_error is None:
                self.assertTrue(identity.is_authenticated)
                self.assertEqual(channel, f"user:{identity.subject}")
                self.assertNotIn(identity.subject, (None, ""))

    @given(st.text("ab4:.~@-", min_size=1, max_size=8))
    def test_owner_always_gets_in(self, subject: str) -> None:
        """Every user whose name can stand in a channel's name has a channel of its own, and gets in there."""
        try:
            check_channel(f"user:{subject}")
        except ChannelError:
            self.fail("the strategy draws names that can stand there")
        rules = ruled(Access.AUTHENTICATED, Access.AUTHENTICATED, "user:{sub}")
        self.assertIsNone(check_subscribe(rules, Identity(subject), f"user:{subject}"))
        self.assertIsNone(check_publish(rules, Identity(subject), f"user:{subject}"))

    @given(st.sampled_from(Access), st.sampled_from(Access), IDENTITIES, PATTERNS, CHANNELS)
    def test_naming_less_never_opens(
        self, subscribe: Access, publish: Access, identity: Identity, patterns: tuple[str, ...] | None, channel: str
    ) -> None:
        """A credential that names channels opens none beside them that is not public, even where many are open."""
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
