"""Tests of `wsrelay.core.session`."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from wsrelay.core.channels import Access, Namespace, Namespaces
from wsrelay.core.closing import Closing
from wsrelay.core.commands import Publish, Subscribe
from wsrelay.core.denials import Denial
from wsrelay.core.session import Accept, Close, Deny, Effect, Emit, Listen, Session, Unlisten

RULES = Namespaces(
    [
        Namespace("read", ("a", "b")),
        Namespace("talk", ("talk",), publish=Access.PUBLIC),
        Namespace("deaf", ("deaf",), subscribe=Access.NOBODY, publish=Access.PUBLIC),
    ]
)
GONE = Deny(Denial.UNKNOWN_CHANNEL, accepted=False)
DENIED = Deny(Denial.SUBSCRIBE_DENIED, accepted=False)
AWAY = Deny(Denial.NOT_AVAILABLE, accepted=False)


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
                [Emit("talk", b"1"), Close(Closing.PUBLISH_DENIED)],
            )

    def test_not_emitted(self) -> None:
        """A client whose message was not published is told so, and keeps its channel until it is gone."""
        session = opened("talk")
        self.assertEqual(session.not_emitted(), [Close(Closing.TRY_AGAIN)])
        self.assertEqual(session.lost(), [Unlisten("talk")])

    def test_after_the_end(self) -> None:
        """A client that is gone gets nothing and owes nothing."""
        session = opened("talk")
        self.assertEqual(session.lost(), [Unlisten("talk")])
        self.assertEqual([session.received([Publish(None, b"x")]), session.not_emitted(), session.lost()], [[], [], []])


class SessionMachine(RuleBasedStateMachine):
    """A session under inputs in any order, beside the promises its callers rely on."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session(RULES)
        self.asked = False
        self.held: list[str] = []
        self.answers = 0
        self.gone = False

    def look(self, effects: list[Effect]) -> None:
        """Check effects against everything that came before."""
        assert not (self.gone and effects), "acts after the end"
        for effect in effects:
            match effect:
                case Listen(channel):
                    assert channel not in self.held, "listens twice"
                    self.held.append(channel)
                case Unlisten(channel):
                    self.held.remove(channel)
                case Accept() | Deny(_):
                    self.answers += 1
                    assert self.answers == 1, "answers a handshake twice"
                case _:
                    assert self.answers == 1, "speaks before the answer"

    @precondition(lambda self: not self.asked)
    @rule(channels=st.lists(st.sampled_from(["a", "b", "talk", "deaf", "nowhere"]), min_size=1, max_size=3))
    def open(self, channels: list[str]) -> None:
        """The client knocks."""
        self.asked = True
        self.look(self.session.open([Subscribe(channel) for channel in channels]))

    @precondition(lambda self: self.asked)
    @rule(step=st.sampled_from(["listening", "not_listening", "not_emitted"]))
    def outcome(self, step: str) -> None:
        """An effect is answered, or an answer comes late or twice."""
        self.look(getattr(self.session, step)())

    @precondition(lambda self: self.asked)
    @rule(channel=st.sampled_from([None, "talk", "nowhere"]))
    def received(self, channel: str | None) -> None:
        """The client sends a message."""
        self.look(self.session.received([Publish(channel, b"x")]))

    @rule()
    def lost(self) -> None:
        """The connection ends; afterwards nothing is held."""
        self.asked = True
        self.look(self.session.lost())
        assert self.held == [], "still listens"
        self.gone = True


class SessionPropertyTests(SynchronousTestCase):
    """Whatever happens, in whatever order."""

    def test_promises(self) -> None:
        """A handshake is answered at most once, nothing is said before, and what is listened to is given up once."""
        run_state_machine_as_test(SessionMachine, settings=settings(max_examples=100, stateful_step_count=12))
