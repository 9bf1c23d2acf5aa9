"""Sees every request as the server does, and holds each DeleteRoom against the truth (SAFETY G)."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from google.protobuf.message import DecodeError
from livekit.protocol.room import ListParticipantsResponse, ListRoomsRequest, ListRoomsResponse

from watchdog.core.deletion import AuditEntry, AuditKind
from watchdog.core.model import Role
from watchdog.simulator.deletions import Deletion
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.store.audit import AuditStore

CONFIRMATIONS = 2
APART = 30.0
SAME = timedelta(milliseconds=1)
STALE = timedelta(seconds=1)
HIDDEN_FROM_BOTH = "persons hidden from the count and the list alike"


class ViolationError(AssertionError):
    """An invariant of SAFETY G does not hold; its number is the first word."""


@dataclass(frozen=True, slots=True)
class Look:
    """One ListParticipants as it was answered."""

    received: datetime
    answered: datetime
    good: bool
    shown: frozenset[str]


@dataclass(frozen=True, slots=True)
class Count:
    """What a ListRooms of one name said of it, and what was true when it came in."""

    received: datetime
    shown: int | None
    sid: str
    true: int


@dataclass(slots=True)
class Witness:
    """What is known of all requests so far. `violations` are the invariants that were broken, in words."""

    exceptions: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    intents: list[AuditEntry] = field(default_factory=list)
    requests: int = 0
    _looks: defaultdict[str, deque[Look]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=400))
    )
    _counts: dict[str, Count] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)

    def note_look(self, room: str, look: Look) -> None:
        self._looks[room].append(look)

    def look_asked(self, room: str, at: datetime) -> Look | None:
        """The look that was asked then."""
        return next((k for k in self._looks[room] if abs(k.received - at) <= SAME), None)

    def lost(self, since: datetime) -> None:
        """The watchdog was killed: what it was told since then it never wrote down."""
        for looks in self._looks.values():
            while looks and looks[-1].received >= since:
                looks.pop()

    def note_count(self, room: str, count: Count) -> None:
        self._counts[room] = count

    def note_deletion(self, simulator: RoomServiceSimulator, deletion: Deletion) -> None:
        """A DeleteRoom came in: every invariant about it is judged at this instant."""
        self.requests += 1
        intent = self._intent(deletion)
        if intent is not None:
            self._judge_room(deletion, intent)
            self._judge_looks(deletion, intent)
            self._judge_grace(simulator, deletion, intent)
        self._judge_people(simulator, deletion)

    # ---- the invariants ---------------------------------------------------------------------------

    def _fail(self, number: int, deletion: Deletion, why: str) -> None:
        self.violations.append(f"({number}) {deletion.room} at {deletion.at:%H:%M:%S.%f}: {why}")

    def _intent(self, deletion: Deletion) -> AuditEntry | None:
        """(6) It has an intent that was committed before it, and is the only one for it."""
        open_ones = [
            i for i in self.intents if i.room_name == deletion.room and i.intent not in self._used
        ]
        if not open_ones:
            self._fail(6, deletion, "no committed intent, or it was used before")
            return None
        intent = open_ones[-1]
        self._used.update(i.intent for i in open_ones)
        return intent

    def _judge_room(self, deletion: Deletion, intent: AuditEntry) -> None:
        """(6) It meets the room that the intent was for, or one made since the last list showed that."""
        count = self._counts.get(deletion.room)
        if deletion.sid in (None, intent.room_sid):
            return
        if count is None or count.sid != intent.room_sid:
            self._fail(6, deletion, f"the intent was for {intent.room_sid}, it met {deletion.sid}")

    def _judge_looks(self, deletion: Deletion, intent: AuditEntry) -> None:
        """(6) Enough looks that showed it alone, far enough apart, since it became due."""
        age, due_age = intent.details["age_seconds"], intent.details["due_age_seconds"]
        since = intent.at - timedelta(seconds=age - due_age) - (self.wall() - deletion.at)
        looks = [k for k in self._looks[deletion.room] if k.good and k.received >= since]
        confirming = looks[:-1]  # the last one is the last look of all
        if len(confirming) < CONFIRMATIONS:
            self._fail(6, deletion, f"{len(confirming)} looks since it became due")
        elif (confirming[-1].received - confirming[0].received).total_seconds() < APART - 0.5:
            self._fail(6, deletion, "its looks were not far enough apart")

    def _judge_people(self, simulator: RoomServiceSimulator, deletion: Deletion) -> None:
        """(1) Nobody is in it but who joined after, or was hidden from, the truthful last look."""
        looks = self._looks[deletion.room]
        last = looks[-1] if looks else None
        if last is None or not last.good:
            self._fail(1, deletion, "there was no good look right before")
            return
        if deletion.at - last.answered > STALE:
            self._fail(
                1, deletion, f"the last look was answered {deletion.at - last.answered} before"
            )
        present = {
            stay.identity: stay
            for stay in simulator.world.ledger.persons(deletion.sid or "", deletion.at)
        }
        for identity in deletion.found:
            stay = present.get(identity)
            if stay is None or stay.joined_at >= last.received:
                continue
            if identity in last.shown:
                self._fail(1, deletion, f"{identity} was shown by the last look")
                continue
            count = self._counts.get(deletion.room)
            if count is None or count.shown is None or count.shown >= count.true:
                self._fail(1, deletion, f"{identity} was there, and the count told of somebody")
            else:
                self.exceptions[HIDDEN_FROM_BOTH] += 1

    def _judge_grace(
        self, simulator: RoomServiceSimulator, deletion: Deletion, intent: AuditEntry
    ) -> None:
        """(2) No look showed a person from its episode's first look on."""
        if deletion.sid is None:
            return
        drift = self.wall() - deletion.at
        began = datetime.fromisoformat(intent.details["first_orphaned_at"]) - drift
        looks = [k for k in self._looks[deletion.room] if k.good and k.received > began]
        for stay in simulator.world.ledger.stays_of(deletion.sid):
            if stay.role is not Role.PERSON or (stay.left_at or deletion.at) <= began:
                continue
            for look in looks:
                if stay.identity in look.shown:
                    self._fail(2, deletion, f"{stay.identity} was seen during its episode")
                    break


class Witnessed(RoomServiceSimulator):
    """The simulated server with a witness beside it."""

    witness: Witness

    async def handle(self, service, method, request, authorization):
        self.world.settle()
        received = self.world.now()
        room = self._name(method, request)
        true = self._true_count(room) if method == "ListRooms" and room else 0
        status, content_type, body = await super().handle(service, method, request, authorization)
        answered = self.world.now()
        if method == "ListParticipants":
            self.witness.note_look(room, self._look(received, answered, status, body))
        elif method == "ListRooms" and room:
            shown, sid = self._shown(status, body)
            self.witness.note_count(room, Count(received, shown, sid, true))
        return status, content_type, body

    def _name(self, method: str, request: bytes) -> str:
        if method == "ListRooms":
            return ",".join(ListRoomsRequest.FromString(request).names)
        message = self._parse("RoomService", method, request)
        return getattr(message, "room", "")

    def _true_count(self, name: str) -> int:
        room = self.world.rooms.get(name)
        if room is None:
            return 0
        return sum(p.alive and not p.dependent for p in room.participants.values())

    @staticmethod
    def _look(received: datetime, answered: datetime, status: int, body: bytes) -> Look:
        try:
            people = ListParticipantsResponse.FromString(body).participants if status == 200 else []
        except DecodeError:
            return Look(received, answered, False, frozenset())
        shown = frozenset(p.identity for p in people)
        return Look(received, answered, status == 200 and bool(shown), shown)

    @staticmethod
    def _shown(status: int, body: bytes) -> tuple[int | None, str]:
        if status != 200:
            return None, ""
        try:
            rooms = ListRoomsResponse.FromString(body).rooms
        except DecodeError:
            return None, ""
        return (rooms[0].num_participants, rooms[0].sid) if rooms else (None, "")


class WitnessedAudit(AuditStore):
    """Tells the witness of each intent, once it is committed."""

    witness: Witness

    async def append(self, entries: Sequence[AuditEntry]) -> None:
        await super().append(entries)
        self.witness.intents += [e for e in entries if e.kind is AuditKind.INTENT]
