"""Deletions that an operator asked for by hand, as the running daemon takes them up."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from watchdog.core.deletion import AuditEntry, AuditKind, Control, DeletionRequest, Outcome
from watchdog.core.gates import PROTECTIONS, Word
from watchdog.core.model import VerdictState
from watchdog.core.rooms import RoomBook
from watchdog.core.steady import SteadyClock

EXPIRES_AFTER = timedelta(minutes=5)
"""A request that could not be carried out within this is answered, and not kept for a later day."""
LISTS_TO_KNOW = 2


@dataclass(slots=True)
class _Taken:
    request: DeletionRequest
    at: float
    lists: int = 0


@dataclass(slots=True)
class Requests:
    """The open requests of one project. Each is answered once; a person in the room ends it at once."""

    book: RoomBook
    clock: SteadyClock
    _taken: dict[str, _Taken] = field(default_factory=dict)
    _answered: set[str] = field(default_factory=set)

    @property
    def by_sid(self) -> dict[str, DeletionRequest]:
        """The requests that wait, by the SID of their room."""
        return {taken.request.room_sid: taken.request for taken in self._taken.values()}

    def still_open(self, request: DeletionRequest, control: Control | None) -> bool:
        """Whether it was neither withdrawn nor answered."""
        given = () if control is None else control.requests
        return request.id in self._taken and any(r.id == request.id for r in given)

    def done(self, request_id: str) -> None:
        """It was carried out, or an earlier run began to: its attempt answers it."""
        self._answered.add(request_id)
        self._taken.pop(request_id, None)

    def take(
        self, given: Iterable[DeletionRequest]
    ) -> Iterator[tuple[DeletionRequest, Outcome, str]]:
        """Take up what the database says is open, after a good tick; gives what can be answered at once."""
        given = tuple(given)
        # What the database no longer calls open needs no remembering.
        self._answered &= {request.id for request in given}
        here = {r.id: r for r in given if r.id not in self._answered}
        self._taken = {key: taken for key, taken in self._taken.items() if key in here}
        for key, request in here.items():
            taken = self._taken.setdefault(key, _Taken(request, self.clock.monotonic()))
            taken.lists += 1
            if answer := self._answer(taken):
                self.done(key)
                yield request, *answer

    def refused(
        self, words: Mapping[str, Iterable[Word]], sids: Mapping[str, str]
    ) -> list[tuple[DeletionRequest, str]]:
        """The requests for rooms that are protected, which no operator can waive; each is answered once.

        `words` are by episode, `sids` the episodes' rooms. A protection that is not known refuses nothing: it
        holds, and is asked again.
        """
        found = []
        by_sid = self.by_sid
        for episode, said in words.items():
            request = by_sid.get(sids.get(episode, ""))
            word = next((w for w in said if w.gate in PROTECTIONS and w.passes is False), None)
            if request is not None and word is not None:
                self.done(request.id)
                found.append((request, f"{word.gate}: {word.why}"))
        return found

    def _answer(self, taken: _Taken) -> tuple[Outcome, str] | None:
        request = taken.request
        state = self.book.rooms.get(request.room_sid)
        if self.clock.now() - request.asked_at > EXPIRES_AFTER:
            return Outcome.ABORTED, "it could not be confirmed in time; ask again"
        if state is None:
            if taken.lists < LISTS_TO_KNOW:
                return None
            if any(r.snapshot.name == request.room_name for r in self.book.rooms.values()):
                return Outcome.REPLACED, "the name belongs to another room now"
            return Outcome.ALREADY_GONE, "the room is not listed any more"
        if state.looked_mono is None or state.looked_mono < taken.at:
            # What an older look showed is no answer to whoever asks now.
            self.book.looks.ask(request.room_sid, self.clock.monotonic())
            return None
        if state.state is VerdictState.ATTENDED:
            return Outcome.PERSON_RETURNED, f"a person is in it: {state.reason}"
        if state.state is VerdictState.EMPTY:
            return Outcome.ABORTED, f"no agent is in it: {state.reason}"
        if state.state is VerdictState.UNKNOWN:
            self.book.looks.ask(request.room_sid, self.clock.monotonic())
        return None


def answer_to(request: DeletionRequest, outcome: Outcome, why: str, at: datetime) -> AuditEntry:
    """What became of a request that no attempt was made for."""
    return AuditEntry(
        at=at,
        project=request.project,
        kind=AuditKind.OUTCOME,
        actor=request.actor,
        room_name=request.room_name,
        room_sid=request.room_sid,
        intent=request.id,
        outcome=outcome,
        why=why,
    )
