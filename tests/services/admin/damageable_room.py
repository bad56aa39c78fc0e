"""A room in which everything happened that an audit looks at: forks, gaps, what waits, and what was refused."""

from collections.abc import Iterable, Sequence

from homeserver.core.canonical_json import encode_for
from homeserver.core.event import EncodedEvent, Event
from homeserver.core.identifiers import EventID, ServerName, UserID
from homeserver.core.redaction import redacted_event
from homeserver.core.room_versions import RoomVersion
from homeserver.core.signing import VerifyKey
from homeserver.services.admin.room_audit import Fault, RoomAudit
from homeserver.services.events.given_states import GivenState
from homeserver.services.events.intake import Outcome
from homeserver.services.events.receipt import Received
from homeserver.storage.database import Transaction
from homeserver.storage.events import Form
from tests.forked_rooms import ALICE, BOB, CAROL, DAVE, KEYS, MALLORY, TRENT, TWO
from tests.scenes import Scene
from tests.services.world import SERVER, World, now


class KeysOfAll:
    """The keys of all servers of generated rooms."""

    def of_server(self, _tx: Transaction, server_name: ServerName) -> tuple[VerifyKey, ...]:
        """See KnownKeys."""
        key = KEYS.get(server_name)
        return () if key is None else (key.verify_key,)


class TakenScene:
    """A scene, taken in by a server."""

    def __init__(self, world: World, scene: Scene) -> None:
        self.world = world
        self.scene = scene
        self.room_id = scene.create.room_id

    def take(self, *events: Event) -> list[Outcome]:
        """Events with the graph around them."""
        received = [_received(event) for event in events]
        taken = now(self.world.intake.take(self.room_id, self.scene.version, received, received_from=None))
        return [taken[event.event_id] for event in events]

    def take_bare(self, event: Event) -> None:
        """An event whose content was not the signed one."""
        received = [_received(redacted_event(event), Form.WRONG_HASH)]
        now(self.world.intake.take(self.room_id, self.scene.version, received, received_from=None))

    def outliers(self, *events: Event) -> None:
        """Events without the graph around them."""
        received = [_received(event) for event in events]
        now(self.world.intake.take_outliers(self.room_id, self.scene.version, received))

    def at_gap(self, event: Event, state: Iterable[EventID]) -> Outcome:
        """An event in a state that another server gives."""
        given = GivenState(tuple(state), TWO)
        taken = now(self.world.intake.take_at_gap(self.room_id, self.scene.version, _received(event), given))
        return taken[event.event_id]

    def history(self, *events: Event, given: Iterable[Event]) -> list[Outcome]:
        """Events from the past; another server gives the states before those of them that lack something."""
        before = self.scene.history.before
        states = {event.event_id: GivenState(tuple(before[event.event_id].values()), TWO) for event in given}
        received = [_received(event) for event in events]
        outcomes = now(self.world.intake.take_history(self.room_id, self.scene.version, received, states))
        return [outcomes[event.event_id] for event in events]

    def fault(self) -> Fault | None:
        """What an audit finds."""
        audit = RoomAudit(self.room_id, KeysOfAll(), SERVER)
        while self.world.sync_database.read(audit.go_on):
            pass
        return audit.fault


class DamageableRoom:
    """The room, taken in by a server."""

    def __init__(self, world: World, version: RoomVersion) -> None:
        self.world = world
        self.scene = Scene(version, users={BOB: 50})
        self.room_id = self.scene.create.room_id
        self.taken = TakenScene(world, self.scene)
        self._fork()
        self._refusals()
        past = self._gaps()
        self._history(*past)

    def _fork(self) -> None:
        """Two who disagree, and one who builds on both; something is redacted, in order and early."""
        scene = self.scene
        joined = scene.join_in_turn(BOB, CAROL, DAVE)
        named = scene.send(BOB, "m.room.member", {"membership": "join", "displayname": "Rude"}, BOB, after=[joined])
        hers = scene.send(ALICE, "m.room.topic", {"topic": "hers"}, after=[named])
        his = scene.send(BOB, "m.room.topic", {"topic": "his"}, after=[named])
        told = scene.say(CAROL, "to be gone", after=[hers])
        both = self._related(ALICE, his, "m.thread", after=[told, his])
        self.threaded = both
        levels = scene.power_levels({BOB: 50, DAVE: 10}, after=[both])
        redactions = [scene.redact(ALICE, target, after=[levels]) for target in (told, named, scene.levels)]
        events = [*scene.history.events.values()]
        early = events.index(told)
        self.taken.take(*events[:early], *events[early + 1 :])
        self.taken.take(told)
        self.last = scene.say(ALICE, after=redactions)
        self.taken.take(self.last)

    def _related(self, sender: UserID, target: Event, rel_type: str, *, after: Sequence[Event]) -> Event:
        """A message in a thread, or one that is put on another."""
        relates_to = {"rel_type": rel_type, "event_id": target.event_id, "key": "+"}
        content = {"body": "in relation", "m.relates_to": relates_to}
        return self.scene.send(sender, "m.room.message", content, None, after=after)

    def _refusals(self) -> None:
        """What was rejected, and what was soft-failed, on heads and elsewhere."""
        scene = self.scene
        banned = scene.member(CAROL, "ban", sender=ALICE, after=[self.last])
        late = scene.say(CAROL, "from before the ban", after=[self.last])
        on_late = scene.say(CAROL, "once more", after=[late])
        forged = scene.send(CAROL, "m.room.topic", {"topic": "mine"}, after=[banned])
        on_forged = scene.send(MALLORY, "m.room.name", {"name": "mine"}, after=[forged, banned])
        bare = scene.say(DAVE, "without its content", after=[banned])
        outcomes = self.taken.take(banned, late, on_late, forged, on_forged)
        assert outcomes == [
            Outcome.ACCEPTED,
            Outcome.SOFT_FAILED,
            Outcome.SOFT_FAILED,
            Outcome.REJECTED,
            Outcome.REJECTED,
        ]
        self.banned = banned
        self.taken.take_bare(bare)
        invited = scene.member(TRENT, "invite", sender=ALICE, after=[bare])
        self.taken.take(invited)
        self.last = invited

    def _gaps(self) -> tuple[Event, ...]:
        """What lacks ancestors: some of it waits, some is there by the word of another server.

        Returns the past below one of the gaps.
        """
        scene = self.scene
        lost = scene.say(DAVE, "nobody brings this", after=[self.last])
        past = scene.say(BOB, "of the past", after=[lost])
        topic = scene.send(BOB, "m.room.topic", {"topic": "of the past"}, after=[past])
        gone = scene.say(ALICE, "to be gone when it comes", after=[topic])
        refused_past = scene.say(MALLORY, "never mine to say", after=[topic])
        found = scene.say(DAVE, "this comes late", after=[gone, refused_past])
        above = scene.send(DAVE, "m.room.member", {"membership": "join", "displayname": "Dave"}, DAVE, after=[found])
        on_top = scene.say(DAVE, "after the gap", after=[above])
        state = scene.after(found).values()
        self.taken.outliers(topic)
        assert self.taken.at_gap(above, state) is Outcome.ACCEPTED
        assert self.taken.take(on_top) == [Outcome.ACCEPTED]
        assert self.taken.at_gap(found, state) is Outcome.ACCEPTED
        never = scene.say(DAVE, "nor this", after=[on_top])
        waits = scene.say(DAVE, "for what does not come", after=[never])
        assert self.taken.take(waits, scene.say(DAVE, "in vain", after=[waits])) == [Outcome.WAITING, Outcome.WAITING]
        self.taken.outliers(scene.send(ALICE, "org.example.thing", {}, after=[never], auth_state=scene.after(on_top)))
        early = [scene.redact(ALICE, never, after=[on_top])]
        early.append(scene.redact(ALICE, gone, after=early))
        other = self._related(BOB, self.threaded, "m.annotation", after=[on_top])
        assert self.taken.take(*early, other) == [Outcome.ACCEPTED] * 3
        self.newest = other
        refused = scene.say(MALLORY, "not mine to say", after=[other])
        on_refused = scene.send(CAROL, "m.room.topic", {"topic": "mine"}, after=[refused])
        assert self.taken.take(refused, on_refused) == [Outcome.REJECTED, Outcome.REJECTED]
        return past, topic, gone, refused_past

    def _history(self, past: Event, topic: Event, gone: Event, refused_past: Event) -> None:
        """What another server brought when somebody read so far back: in two batches, the newer first."""
        newer = self.taken.history(gone, refused_past, given=[gone, refused_past])
        assert newer == [Outcome.ACCEPTED, Outcome.REJECTED]
        assert self.taken.history(past, topic, given=[past]) == [Outcome.ACCEPTED, Outcome.ACCEPTED]


def _received(event: Event, form: Form = Form.FULL) -> Received:
    return Received(EncodedEvent(event, encode_for(event.version, event.pdu)), form)
