"""Tests of `wsrelay.core.sessions.session`."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.access.identity import ANONYMOUS, Identity
from wsrelay.core.messaging.commands import Publish, Subscribe
from wsrelay.core.messaging.namespaces import Access, Namespace, Namespaces
from wsrelay.core.outcomes.client_errors import ClientError
from wsrelay.core.outcomes.disconnects import Disconnect
from wsrelay.core.sessions.session import (
    Accept,
    Authenticate,
    Close,
    Deny,
    Effect,
    Emit,
    Expire,
    Listen,
    Session,
    Shows,
    Unlisten,
    Welcome,
)

RULES = Namespaces(
    [
        Namespace("read", ("a", "b")),
        Namespace("talk", ("talk",), publish=Access.PUBLIC),
        Namespace("deaf", ("deaf",), subscribe=Access.NOBODY, publish=Access.PUBLIC),
        Namespace("members", ("members",), subscribe=Access.AUTHENTICATED, publish=Access.AUTHENTICATED),
        Namespace("own", ("user:{sub}",), subscribe=Access.AUTHENTICATED, publish=Access.TOKEN),
    ]
)
GONE = Deny(ClientError.UNKNOWN_CHANNEL, accepted=False)
DENIED = Deny(ClientError.SUBSCRIBE_DENIED, accepted=False)
AWAY = Deny(ClientError.NOT_AVAILABLE, accepted=False)
SOMEBODY = Identity("42")
# Ended or not: the machine knows no time.
BRIEF = Identity("42", expires=100.0)


def opening(*channels: str) -> Session:
    """A session that asked for channels and has no answer yet."""
    session = Session(RULES)
    session.open([Subscribe(channel) for channel in channels])
    return session


def opened(*channels: str) -> Session:
    """A session whose handshake was accepted."""
    session = opening(*channels)
    for _ in channels:
        session.listening()
    return session


def asking(shows: Shows, *channels: str) -> tuple[Session, list[Effect]]:
    """A session of a client that shows something, and what it begins with."""
    session = Session(RULES)
    return session, session.open([Subscribe(channel) for channel in channels], shows)


def known(identity: Identity, *channels: str, shows: Shows = Shows.CREDENTIAL) -> Session:
    """A session that is open for somebody."""
    session, _ = asking(shows, *channels)
    session.shown()
    session.identified(identity)
    for _ in channels:
        session.listening()
    return session


class OpeningTests(SynchronousTestCase):
    """From the handshake to its answer."""

    def test_listen_first(self) -> None:
        """A client that may listen is accepted only when the channel is heard."""
        session = Session(RULES)
        self.assertEqual(session.open([Subscribe("a")]), [Listen("a")])
        self.assertEqual(session.listening(), [Accept()])

    def test_all_channels_first(self) -> None:
        """A client that asks for several channels is accepted when the last one is heard; doubles count once."""
        session = Session(RULES)
        self.assertEqual(session.open([Subscribe("a"), Subscribe("b"), Subscribe("a")]), [Listen("a"), Listen("b")])
        self.assertEqual([session.listening(), session.listening()], [[], [Accept()]])

    def test_no_channel(self) -> None:
        """A client that asks for nothing waits for nothing."""
        self.assertEqual(Session(RULES).open([]), [Accept()])

    def test_unknown_channel(self) -> None:
        """A channel that no namespace names is answered with 404, and nothing is listened to."""
        session = Session(RULES)
        self.assertEqual(session.open([Subscribe("a"), Subscribe("nowhere")]), [GONE])
        self.assertEqual(session.lost(), [])

    def test_denied_channel(self) -> None:
        """A channel that clients may not hear is answered with 403, and nothing is listened to."""
        session = Session(RULES)
        self.assertEqual(session.open([Subscribe("deaf")]), [DENIED])
        self.assertEqual(session.lost(), [])

    def test_not_listening(self) -> None:
        """If one channel cannot be heard the handshake is answered with 503 and every channel is given up, once."""
        session = opening("a", "b")
        session.listening()
        self.assertEqual(session.not_listening(), [AWAY, Unlisten("a"), Unlisten("b")])
        self.assertEqual([session.not_listening(), session.listening(), session.lost()], [[], [], []])

    def test_lost_while_waiting(self) -> None:
        """A client that leaves before its answer gives its channel up; a late answer changes nothing."""
        session = opening("a")
        self.assertEqual(session.lost(), [Unlisten("a")])
        self.assertEqual([session.listening(), session.not_listening(), session.lost()], [[], [], []])

    def test_message_before_the_answer(self) -> None:
        """What a client sends before its handshake is answered is not published."""
        self.assertEqual(opening("talk").received([Publish(None, b"x")]), [])


class OpenTests(SynchronousTestCase):
    """From the handshake's answer to the end."""

    def test_publish(self) -> None:
        """A message without a channel goes to the one the client listens to, in order and unchanged."""
        self.assertEqual(
            opened("talk").received([Publish(None, b"1"), Publish(None, b"\xff")]),
            [Emit("talk", b"1"), Emit("talk", b"\xff")],
        )

    def test_publish_elsewhere(self) -> None:
        """A message that names a channel goes there if that channel's namespace permits, heard or not."""
        self.assertEqual(opened("a").received([Publish("deaf", b"x")]), [Emit("deaf", b"x")])

    def test_publish_denied(self) -> None:
        """The first message that is not permitted closes the connection; those before it are published."""
        for channel in ("a", "nowhere"):
            self.assertEqual(
                opened("talk").received([Publish(None, b"1"), Publish(channel, b"2"), Publish(None, b"3")]),
                [Emit("talk", b"1"), Close(Disconnect.PUBLISH_DENIED)],
            )

    def test_not_emitted(self) -> None:
        """A client whose message was not published is told so, and keeps its channel until it is gone."""
        session = opened("talk")
        self.assertEqual(session.not_emitted(), [Close(Disconnect.TRY_AGAIN)])
        self.assertEqual(session.lost(), [Unlisten("talk")])

    def test_after_the_end(self) -> None:
        """A client that is gone gets nothing and owes nothing."""
        session = opened("talk")
        self.assertEqual(session.lost(), [Unlisten("talk")])
        self.assertEqual([session.received([Publish(None, b"x")]), session.not_emitted(), session.lost()], [[], [], []])


class CredentialTests(SynchronousTestCase):
    """A client that shows a credential in its handshake."""

    def test_who_first(self) -> None:
        """Nothing is listened to before it is known who the client is; then it goes on as for anybody."""
        session, effects = asking(Shows.CREDENTIAL, "members", "a")
        self.assertEqual(effects, [Authenticate()])
        self.assertEqual([session.awaits_credential, session.is_over, session.identity], [False, False, ANONYMOUS])
        self.assertEqual(session.identified(SOMEBODY), [Listen("members"), Listen("a")])
        self.assertIs(session.identity, SOMEBODY)
        self.assertEqual([session.listening(), session.listening()], [[], [Accept()]])

    def test_expires(self) -> None:
        """An end that the credential has is told once, behind what is listened to: it may be over already."""
        session, _ = asking(Shows.CREDENTIAL, "members")
        self.assertEqual(session.identified(BRIEF), [Listen("members"), Expire(100.0)])
        self.assertEqual(session.listening(), [Accept()])

    def test_no_channel(self) -> None:
        """A client that asks for nothing is accepted as soon as it is known."""
        session, _ = asking(Shows.CREDENTIAL)
        self.assertEqual(session.identified(BRIEF), [Accept(), Expire(100.0)])

    def test_nobody_may(self) -> None:
        """What nobody may listen to is denied before a credential is spent on it."""
        for shows in Shows:
            self.assertEqual(asking(shows, "a", "nowhere")[1], [GONE])
            self.assertEqual(asking(shows, "members", "deaf")[1], [DENIED])

    def test_may_not(self) -> None:
        """Who is known and may not listen to one of its channels is denied, hears none of them and stays nobody."""
        session, _ = asking(Shows.CREDENTIAL, "members", "user:41")
        self.assertEqual(session.identified(BRIEF), [Deny(ClientError.CHANNEL_DENIED, accepted=False)])
        self.assertTrue(session.is_over)
        self.assertIs(session.identity, ANONYMOUS)
        self.assertEqual([session.identified(SOMEBODY), session.listening(), session.lost()], [[], [], []])

    def test_nobody(self) -> None:
        """Whom nobody vouches for is told to show something, where that would help, and hears what is public."""
        session, _ = asking(Shows.CREDENTIAL, "members")
        self.assertEqual(session.identified(ANONYMOUS), [Deny(ClientError.NO_CREDENTIAL, accepted=False)])
        self.assertEqual(asking(Shows.NOTHING, "members")[1], [Deny(ClientError.NO_CREDENTIAL, accepted=False)])
        session, _ = asking(Shows.CREDENTIAL, "a")
        self.assertEqual(session.identified(ANONYMOUS), [Listen("a")])

    def test_rejected(self) -> None:
        """Who would have needed the credential that its browser sent is told what is wrong with that, and only who."""
        rejected = Identity(is_authenticated=False, cookie_error=ClientError.TOKEN_EXPIRED)
        session, _ = asking(Shows.CREDENTIAL, "members")
        self.assertEqual(session.identified(rejected), [Deny(ClientError.TOKEN_EXPIRED, accepted=False)])
        session, _ = asking(Shows.CREDENTIAL, "a")
        self.assertEqual(session.identified(rejected), [Listen("a")])
        session, _ = asking(Shows.CREDENTIAL, "user:41")
        known_as_other = Identity("42", cookie_error=ClientError.TOKEN_EXPIRED)
        self.assertEqual(session.identified(known_as_other), [Deny(ClientError.CHANNEL_DENIED, accepted=False)])

    def test_denied(self) -> None:
        """A credential that is not good is denied for its own reason, and a late answer changes nothing."""
        session, _ = asking(Shows.CREDENTIAL, "members")
        self.assertEqual(session.denied(ClientError.TICKET), [Deny(ClientError.TICKET, accepted=False)])
        self.assertEqual(
            [session.identified(SOMEBODY), session.denied(ClientError.TOKEN), session.lost()], [[], [], []]
        )

    def test_lost(self) -> None:
        """A client that leaves while it is looked at owes nothing; a late answer changes nothing."""
        session, _ = asking(Shows.CREDENTIAL, "members")
        self.assertEqual(session.lost(), [])
        self.assertEqual([session.identified(SOMEBODY), session.denied(ClientError.TOKEN)], [[], []])
        self.assertIs(session.identity, ANONYMOUS)

    def test_denied_while_opening(self) -> None:
        """Who is denied while its channels are asked for gives all of them up, heard already or not, once."""
        session, _ = asking(Shows.CREDENTIAL, "members", "a")
        session.identified(BRIEF)
        session.listening()
        self.assertEqual(
            session.denied(ClientError.REVOKED),
            [Deny(ClientError.REVOKED, accepted=False), Unlisten("members"), Unlisten("a")],
        )
        self.assertEqual([session.listening(), session.denied(ClientError.REVOKED), session.lost()], [[], [], []])

    def test_denied_while_open(self) -> None:
        """Who is denied when it is in is closed with the code for that, and gives its channels up when it is gone."""
        for client_error in (ClientError.REVOKED, ClientError.TOKEN_EXPIRED):
            session = known(BRIEF, "members")
            self.assertEqual(session.denied(client_error), [Close(client_error.disconnect)])
            self.assertFalse(session.is_over)
            self.assertEqual(session.lost(), [Unlisten("members")])
            self.assertEqual(session.denied(client_error), [])

    def test_publishes_as_itself(self) -> None:
        """What a client may publish goes by who it is."""
        session = known(Identity("42", publish=("user:42",)), "user:42")
        self.assertEqual(session.received([Publish(None, b"x")]), [Emit("user:42", b"x")])
        for channel in ("user:41", "members"):
            self.assertEqual(session.received([Publish(channel, b"x")]), [Close(Disconnect.PUBLISH_DENIED)])
        self.assertEqual(known(SOMEBODY, "user:42").received([Publish(None, b"x")]), [Close(Disconnect.PUBLISH_DENIED)])
        self.assertEqual(opened("a").received([Publish("members", b"x")]), [Close(Disconnect.PUBLISH_DENIED)])
        self.assertEqual(known(SOMEBODY, "a").received([Publish("members", b"x")]), [Emit("members", b"x")])


class FirstMessageTests(SynchronousTestCase):
    """A client that shows its credential as its first message."""

    def test_way_in(self) -> None:
        """It is accepted at once, and welcomed when it hears its channels."""
        session, effects = asking(Shows.LATER, "members", "a", "a")
        self.assertEqual((effects, session.awaits_credential), ([Accept()], True))
        self.assertEqual((session.shown(), session.awaits_credential), ([Authenticate()], False))
        self.assertEqual(session.identified(BRIEF), [Listen("members"), Listen("a"), Expire(100.0)])
        self.assertEqual([session.listening(), session.listening()], [[], [Welcome(("members", "a"))]])
        self.assertEqual(session.channels, ("members", "a"))
        self.assertEqual(session.lost(), [Unlisten("members"), Unlisten("a")])

    def test_no_channel(self) -> None:
        """A client that asks for nothing is welcomed as soon as it is known."""
        session, _ = asking(Shows.LATER)
        session.shown()
        self.assertEqual(session.identified(SOMEBODY), [Welcome(())])

    def test_not_let_in(self) -> None:
        """From the first moment on it is turned away with a close, because the handshake has been answered."""
        steps: list[Callable[[Session], object]] = [
            lambda session: session.shown(),
            lambda session: session.identified(SOMEBODY),
        ]
        for count, unlistened in ((0, []), (1, []), (2, [Unlisten("members")])):
            session, _ = asking(Shows.LATER, "members")
            for step in steps[:count]:
                step(session)
            self.assertEqual(
                session.denied(ClientError.TOO_LATE), [Deny(ClientError.TOO_LATE, accepted=True), *unlistened], count
            )
            self.assertTrue(session.is_over)
            self.assertEqual([session.shown(), session.identified(SOMEBODY), session.lost()], [[], [], []])

    def test_may_not(self) -> None:
        """Who may not hear its channel, and whose channel cannot be heard now, are told with a close as well."""
        session, _ = asking(Shows.LATER, "user:41")
        session.shown()
        self.assertEqual(session.identified(SOMEBODY), [Deny(ClientError.CHANNEL_DENIED, accepted=True)])
        session, _ = asking(Shows.LATER, "members")
        session.shown()
        session.identified(SOMEBODY)
        self.assertEqual(session.not_listening(), [Deny(ClientError.NOT_AVAILABLE, accepted=True), Unlisten("members")])

    def test_speaks_too_early(self) -> None:
        """What it sends before its welcome is not published: nobody knows yet whether it may; it is told so."""
        session, _ = asking(Shows.LATER, "talk")
        for step in (list, session.shown, lambda: session.identified(SOMEBODY)):
            step()
            self.assertEqual(session.received([Publish(None, b"x")]), [Close(Disconnect.PUBLISH_DENIED)])
        session.listening()
        self.assertEqual(session.received([Publish(None, b"x")]), [Emit("talk", b"x")])

    def test_leaves(self) -> None:
        """A client that leaves before it showed anything owes nothing, and is awaited no more."""
        session, _ = asking(Shows.LATER, "members")
        self.assertEqual(session.lost(), [])
        self.assertFalse(session.awaits_credential)
        self.assertEqual([session.shown(), session.received([Publish(None, b"x")])], [[], []])


# The state that a session is in, and how it came there.
STATES: dict[str, Callable[[], Session]] = {
    "knocking": lambda: Session(RULES),
    "awaiting": lambda: asking(Shows.LATER, "talk")[0],
    "identifying": lambda: asking(Shows.CREDENTIAL, "talk")[0],
    "identifying, accepted": lambda: _after(asking(Shows.LATER, "talk")[0], "shown"),
    "opening": lambda: opening("talk"),
    "opening, accepted": lambda: _after(asking(Shows.LATER, "talk")[0], "shown", "identified"),
    "open": lambda: opened("talk"),
    "open, welcomed": lambda: known(SOMEBODY, "talk", shows=Shows.LATER),
    "closed by denial": lambda: _after(opening("talk"), "denied"),
    "closed by loss": lambda: _after(opened("talk"), "lost"),
}
INPUTS: dict[str, Callable[[Session], list[Effect]]] = {
    "open": lambda session: session.open([Subscribe("talk")]),
    "shown": lambda session: session.shown(),
    "identified": lambda session: session.identified(SOMEBODY),
    "denied": lambda session: session.denied(ClientError.REVOKED),
    "listening": lambda session: session.listening(),
    "not_listening": lambda session: session.not_listening(),
    "received": lambda session: session.received([Publish(None, b"x")]),
    "not_emitted": lambda session: session.not_emitted(),
    "lost": lambda session: session.lost(),
}
REFUSED = Deny(ClientError.REVOKED, accepted=False)
THROWN_OUT = Deny(ClientError.REVOKED, accepted=True)
TOO_EARLY = Close(Disconnect.PUBLISH_DENIED)
# What each input does in each state, and the state after it; what is not here does nothing.
TABLE: dict[tuple[str, str], tuple[list[Effect], str]] = {
    ("knocking", "open"): ([Listen("talk")], "opening"),
    ("knocking", "denied"): ([REFUSED], "closed"),
    ("knocking", "lost"): ([], "closed"),
    ("awaiting", "shown"): ([Authenticate()], "identifying"),
    ("awaiting", "denied"): ([THROWN_OUT], "closed"),
    ("awaiting", "received"): ([TOO_EARLY], "awaiting"),
    ("awaiting", "lost"): ([], "closed"),
    ("identifying", "identified"): ([Listen("talk")], "opening"),
    ("identifying", "denied"): ([REFUSED], "closed"),
    ("identifying", "lost"): ([], "closed"),
    ("identifying, accepted", "identified"): ([Listen("talk")], "opening"),
    ("identifying, accepted", "denied"): ([THROWN_OUT], "closed"),
    ("identifying, accepted", "received"): ([TOO_EARLY], "identifying"),
    ("identifying, accepted", "lost"): ([], "closed"),
    ("opening", "listening"): ([Accept()], "open"),
    ("opening", "not_listening"): ([AWAY, Unlisten("talk")], "closed"),
    ("opening", "denied"): ([REFUSED, Unlisten("talk")], "closed"),
    ("opening", "lost"): ([Unlisten("talk")], "closed"),
    ("opening, accepted", "listening"): ([Welcome(("talk",))], "open"),
    ("opening, accepted", "not_listening"): (
        [Deny(ClientError.NOT_AVAILABLE, accepted=True), Unlisten("talk")],
        "closed",
    ),
    ("opening, accepted", "denied"): ([THROWN_OUT, Unlisten("talk")], "closed"),
    ("opening, accepted", "received"): ([TOO_EARLY], "opening"),
    ("opening, accepted", "lost"): ([Unlisten("talk")], "closed"),
    ("open", "denied"): ([Close(Disconnect.REVOKED)], "open"),
    ("open", "received"): ([Emit("talk", b"x")], "open"),
    ("open", "not_emitted"): ([Close(Disconnect.TRY_AGAIN)], "open"),
    ("open", "lost"): ([Unlisten("talk")], "closed"),
    ("open, welcomed", "denied"): ([Close(Disconnect.REVOKED)], "open"),
    ("open, welcomed", "received"): ([Emit("talk", b"x")], "open"),
    ("open, welcomed", "not_emitted"): ([Close(Disconnect.TRY_AGAIN)], "open"),
    ("open, welcomed", "lost"): ([Unlisten("talk")], "closed"),
}


def _after(session: Session, *inputs: str) -> Session:
    for name in inputs:
        INPUTS[name](session)
    return session


class TableTests(SynchronousTestCase):
    """Every input in every state."""

    def test_states(self) -> None:
        """The sessions that the table is about are in the states that it names."""
        for name, make in STATES.items():
            self.assertEqual(make()._state.value, name.partition(",")[0].partition(" ")[0])

    def test_table(self) -> None:
        """An input has the effects of the table's row and leads to its state; without a row it changes nothing."""
        for state, make in STATES.items():
            for name, step in INPUTS.items():
                session = make()
                before = (session._state.value, session.channels)
                effects = step(session)
                expected = TABLE.get((state, name), ([], before[0]))
                self.assertEqual((effects, session._state.value), expected, (state, name))
                self.assertEqual(session.is_over, session._state.value == "closed")
                if (state, name) not in TABLE:
                    self.assertEqual(session.channels, () if name == "lost" else before[1], (state, name))


class SessionMachine(RuleBasedStateMachine):
    """A session under inputs in any order, beside the promises its callers rely on."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(RULES)
        self.shows: Shows | None = None
        self.asked: list[str] = []
        self.held: list[str] = []
        self.seen: list[str] = []
        self.identity: Identity | None = None
        self.gone = False

    def look(self, effects: list[Effect]) -> None:
        """Check effects against everything that came before."""
        assert not (self.gone and effects), "acts after the end"
        for effect in effects:
            getattr(self, f"see_{type(effect).__name__.lower()}")(effect)
            self.seen.append(type(effect).__name__)
        if "Deny" in self.seen:
            assert self.session.is_over, "denied and not over"
            assert self.held == [], "denied and still listens"

    @property
    def is_in(self) -> bool:
        """Whether the client has been told that it hears its channels."""
        return ("Welcome" if self.shows is Shows.LATER else "Accept") in self.seen

    def see_authenticate(self, _effect: Authenticate) -> None:
        """It is asked who a client is that shows something, once, and before anything is done for it."""
        assert self.shows is not Shows.NOTHING
        assert {"Authenticate", "Listen", "Expire", "Welcome", "Deny"}.isdisjoint(self.seen)
        assert ("Accept" in self.seen) is (self.shows is Shows.LATER)

    def see_expire(self, effect: Expire) -> None:
        """The end of a credential is told once, behind all that is listened to: it may be over already."""
        assert self.identity is not None
        assert effect.at == self.identity.expires
        assert "Expire" not in self.seen
        assert self.held == self.asked

    def see_listen(self, effect: Listen) -> None:
        """What was asked for is listened to once, when it is known who asks, and never for somebody denied."""
        assert effect.channel in self.asked
        assert effect.channel not in self.held, "listens twice"
        assert self.shows is Shows.NOTHING or "Authenticate" in self.seen, "listens for whoever it is"
        assert not self.is_in
        assert "Deny" not in self.seen
        if effect.channel == "members":
            assert self.identity is not None
            assert self.identity.is_authenticated
        self.held.append(effect.channel)

    def see_unlisten(self, effect: Unlisten) -> None:
        """What is listened to is given up once."""
        self.held.remove(effect.channel)

    def see_accept(self, _effect: Accept) -> None:
        """A handshake is answered once: for who shows something later at once, else when all is heard."""
        assert "Accept" not in self.seen
        assert "Deny" not in self.seen
        assert self.held == ([] if self.shows is Shows.LATER else self.asked)

    def see_welcome(self, effect: Welcome) -> None:
        """Who was accepted ahead is welcomed once, when all is heard."""
        assert self.shows is Shows.LATER
        assert "Accept" in self.seen
        assert "Welcome" not in self.seen
        assert list(effect.channels) == self.held == self.asked

    def see_deny(self, effect: Deny) -> None:
        """A client is denied once, with a status before it was accepted and with a close after."""
        assert "Deny" not in self.seen
        assert not self.is_in
        assert effect.accepted is ("Accept" in self.seen)

    def see_close(self, _effect: Close) -> None:
        """A close goes to who was accepted."""
        assert "Accept" in self.seen

    def see_emit(self, effect: Emit) -> None:
        """Only who is in publishes, and only what it may."""
        assert self.is_in
        assert effect.channel in ("talk", "deaf", "members")
        if effect.channel == "members":
            assert self.session.identity.is_authenticated

    @rule(
        channels=st.lists(st.sampled_from(["a", "b", "talk", "members", "deaf", "nowhere"]), min_size=1, max_size=3),
        shows=st.sampled_from(Shows),
    )
    def open(self, channels: list[str], shows: Shows) -> None:
        """The client knocks, with and without a credential; a second time does nothing."""
        if self.shows is None:
            self.shows, self.asked = shows, list(dict.fromkeys(channels))
        self.look(self.session.open([Subscribe(channel) for channel in channels], shows))

    @rule()
    def shown(self) -> None:
        """The client's first message is its credential, or somebody thinks so too late."""
        awaits = self.session.awaits_credential
        effects = self.session.shown()
        assert (effects == [Authenticate()]) is awaits
        self.look(effects)

    @rule(identity=st.sampled_from([ANONYMOUS, SOMEBODY, BRIEF, Identity("42", channels=("a",))]))
    def identified(self, identity: Identity) -> None:
        """It is found out who it is, or found out late or twice."""
        if self.identity is None and "Authenticate" in self.seen:
            self.identity = identity
        self.look(self.session.identified(identity))

    @rule(client_error=st.sampled_from(ClientError))
    def denied(self, client_error: ClientError) -> None:
        """Somebody says no, at any time."""
        self.look(self.session.denied(client_error))

    @rule(step=st.sampled_from(["listening", "listening", "not_listening", "not_emitted"]))
    def outcome(self, step: str) -> None:
        """An effect is answered, or an answer comes late or twice."""
        self.look(getattr(self.session, step)())

    @rule(channel=st.sampled_from([None, "talk", "members", "nowhere"]))
    def received(self, channel: str | None) -> None:
        """The client sends a message."""
        self.look(self.session.received([Publish(channel, b"x")]))

    @rule()
    def lost(self) -> None:
        """The connection ends; afterwards nothing is held."""
        self.look(self.session.lost())
        assert self.held == [], "still listens"
        self.gone = True

    @invariant()
    def knows_nobody_by_itself(self) -> None:
        """The client is who was found out, and nobody until then."""
        assert self.session.identity in (ANONYMOUS, self.identity)

    def teardown(self) -> None:
        """However it came, when the connection is gone all that was listened to is given up."""
        self.lost()


class SessionPropertyTests(SynchronousTestCase):
    """Whatever happens, in whatever order."""

    def test_promises(self) -> None:
        """A client is answered once, speaks only when it is in, and what is listened to is given up once."""
        run_state_machine_as_test(SessionMachine, settings=settings(max_examples=300, stateful_step_count=12))
