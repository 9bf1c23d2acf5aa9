"""Asking the server about rooms: which ones, within the budget, and taking in what it answers (SAFETY F)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

from watchdog.core.budget import Allotment, Purpose, TokenBucket
from watchdog.core.errors import (
    CredentialsRejected,
    PermissionMissing,
    RateLimited,
    RoomServiceError,
)
from watchdog.core.looks import Question
from watchdog.core.model import Look
from watchdog.core.rooms import RoomBook
from watchdog.core.steady import SteadyClock
from watchdog.daemon.ports import RoomService
from watchdog.daemon.tracker import EpisodeTracker

LOOKS_AT_ONCE = 10
LOOKING_SECONDS = 15.0
"""A tick begins no new look after this long; those under way have their own deadline."""
ASKED_FOR = (
    Purpose.JOIN_HINT,
    Purpose.ARM,
    Purpose.FALLEN,
    Purpose.PROBE,
    Purpose.AGAIN,
    Purpose.SWEEP,
)
"""What looks and probes are for, in the order in which they are chosen."""
REFUSALS = (CredentialsRejected, PermissionMissing, RateLimited)
"""What does not go away by asking again at once (T32)."""


@dataclass(slots=True)
class Pass:
    """What one pass over a project has to tell besides the changes."""

    started: float
    requests: dict[str, int] = field(default_factory=dict)
    budget_delay: float = 0.0
    error: str = ""
    skew: float | None = None

    def count(self, purpose: Purpose) -> None:
        """One more request was made."""
        self.requests[purpose] = self.requests.get(purpose, 0) + 1


@dataclass(slots=True)
class Asker:
    """The looks and probes of one project. `note_look` takes in a good look, wherever it comes from."""

    book: RoomBook
    tracker: EpisodeTracker
    service: RoomService
    clock: SteadyClock
    bucket: TokenBucket
    note_look: Callable[[Look], None]
    _allotment: Allotment = field(default_factory=Allotment)

    def choose(self, this: Pass, reserved: int) -> list[Question]:
        """Share what the budget allows now among the rooms that want a request.

        `reserved` requests are left for rooms that may be deleted in this tick.
        """
        mono = self.clock.monotonic()
        available = self.bucket.available(mono)
        most = max(0, int(available))
        wanted: dict[Purpose, list[Question]] = {}
        asked: set[str] = set()
        for purpose in ASKED_FOR:
            here = (
                question
                for question in self.book.looks.questions(purpose, mono)
                if not self.book.is_missing(question.sid)
                and (purpose is Purpose.PROBE or question.sid not in asked)
            )
            # One more than can be served shows that the budget delays somebody.
            wanted[purpose] = list(islice(here, most + 1))
            if purpose in (Purpose.JOIN_HINT, Purpose.ARM):
                asked |= {question.sid for question in wanted[purpose]}
        demand = {purpose: len(questions) for purpose, questions in wanted.items()}
        demand[Purpose.RECHECK] = reserved
        granted = self._allotment.split(available, demand)
        chosen: list[Question] = []
        for purpose, questions in wanted.items():
            served = granted.get(purpose, 0)
            chosen += questions[:served]
            if purpose is not Purpose.SWEEP:  # the sweep's pace has a metric of its own
                delays = [mono - q.since for q in questions[served:]]
                this.budget_delay = max([this.budget_delay, *delays])
        return chosen

    async def look(self, questions: list[Question], this: Pass) -> None:
        """Ask who is in the chosen rooms; a room without an answer stays as it was (A1).

        Raises the first of REFUSALS, once the looks under way have ended.
        """
        waiting = iter([q for q in questions if q.purpose is not Purpose.PROBE])
        until = self.clock.monotonic() + LOOKING_SECONDS
        refused: list[RoomServiceError] = []

        async def look_until_done() -> None:
            for question in waiting:
                if refused or self.clock.monotonic() > until:
                    return
                this.count(question.purpose)
                room = self.book.rooms[question.sid].snapshot
                try:
                    look = await self.service.look(room, question.purpose)
                except RoomServiceError as error:
                    self.book.note_failed_look(question.sid, str(error), self.clock.monotonic())
                    this.error = this.error or str(error)
                    if isinstance(error, REFUSALS):
                        refused.append(error)
                else:
                    self.note_look(look)

        async with asyncio.TaskGroup() as group:
            for _ in range(LOOKS_AT_ONCE):
                group.create_task(look_until_done())
        if refused:
            raise refused[0]

    async def probe(self, questions: list[Question], this: Pass) -> None:
        """Ask the nodes of the chosen orphans whether they still answer (A10)."""

        async def probe(sid: str) -> None:
            this.count(Purpose.PROBE)
            asked_at = self.clock.now()
            failure: RoomServiceError | None = None
            try:
                await self.service.probe(self.book.rooms[sid].snapshot.name)
            except RoomServiceError as error:
                failure = error
            self.tracker.note_probe(sid, asked_at, failure, self.clock.monotonic())

        async with asyncio.TaskGroup() as group:
            for question in questions:
                if question.purpose is Purpose.PROBE:
                    group.create_task(probe(question.sid))
