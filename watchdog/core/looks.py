"""Which rooms the next requests should go to, and in which order (SAFETY F).

Times are monotonic seconds. Every queue keeps the order of its last looks, so that no tick sorts all
rooms: only those that the list gives reason to ask about are sorted.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from watchdog.core.budget import Purpose

AGAIN_SECONDS = 60.0
"""A known orphan is not looked at again sooner than this without a reason."""
SWEEP_SECONDS = 150.0
"""Nor is any other room."""


@dataclass(frozen=True, slots=True)
class Question:
    """A room to ask about, what for, and since when the request has been wanted."""

    sid: str
    purpose: Purpose
    since: float


@dataclass(slots=True)
class _Asking:
    since: float
    not_before: float
    tries: int = 0


@dataclass(slots=True)
class LookQueue:
    """The looks and probes that are wanted. `poll` is the poll interval in seconds."""

    poll: float
    _asking: dict[str, _Asking] = field(default_factory=dict)
    # SID to when the room will be as old as the least grace; until then it cannot be due.
    _young: dict[str, float] = field(default_factory=dict)
    # SID to the time of the last look (in _unlooked: of the first listing), oldest first.
    _unlooked: dict[str, float] = field(default_factory=dict)
    _looked: dict[str, float] = field(default_factory=dict)
    _orphans: dict[str, float] = field(default_factory=dict)
    # SID to when a webhook said that a person joined.
    _hinted: dict[str, float] = field(default_factory=dict)
    # SID to when the next look that arms it is wanted; the oldest orphan first.
    _arming: dict[str, float] = field(default_factory=dict)
    _probe_due: dict[str, float] = field(default_factory=dict)
    _probes: list[tuple[float, str]] = field(default_factory=list)

    def listed(self, sid: str, at: float, *, young_until: float | None = None) -> None:
        """A room that was not there before. Until `young_until` the sweep serves all others first."""
        self._unlooked[sid] = at
        if young_until is not None:
            self._young[sid] = young_until

    def looked(self, sid: str, at: float, *, orphaned: bool) -> None:
        """The room was looked at: it goes to the end of its queue."""
        for queue in (self._unlooked, self._looked, self._orphans, self._hinted):
            queue.pop(sid, None)
        if not self._is_young(sid, at):
            self._young.pop(sid, None)
        for queue in (self._unlooked, self._young):
            if not queue:
                queue.clear()  # an empty dict keeps the memory of the most it ever held
        (self._orphans if orphaned else self._looked)[sid] = at

    def hint(self, sid: str, at: float) -> None:
        """A webhook says that a person joined: who is there is to be seen soon."""
        self._hinted.setdefault(sid, at)

    def ask(self, sid: str, at: float, *, after: float = 0.0) -> None:
        """There is a reason to look at this room, `after` seconds from now.

        An earlier appointment stands: a room that keeps changing must not put its look off for ever.
        """
        due = at + after
        if known := self._asking.get(sid):
            due = min(due, known.not_before)
        self._asking[sid] = _Asking(due, due)

    def ask_again(self, sid: str, at: float) -> None:
        """The look did not settle the reason: ask again, at intervals that grow to the ordinary ones."""
        asking = self._asking.setdefault(sid, _Asking(at, at))
        most = AGAIN_SECONDS if sid in self._orphans else SWEEP_SECONDS
        pause = min(most, self.poll * 2.0 ** min(asking.tries, 10))
        asking.not_before = at + pause - self.poll / 2
        asking.since = asking.not_before
        asking.tries += 1

    def settled(self, sid: str) -> None:
        """The reason to look at this room is gone."""
        self._asking.pop(sid, None)

    def arm_at(self, sid: str, due: float) -> None:
        """A look that arms this room is wanted at `due`."""
        self._arming[sid] = due

    def no_arming(self, sid: str) -> None:
        """Looks are not to arm this room any more."""
        self._arming.pop(sid, None)

    @property
    def being_armed(self) -> Iterable[str]:
        """The rooms that looks are to arm."""
        return self._arming.keys()

    def probe_at(self, sid: str, due: float) -> None:
        """Probe this room's node at `due`, in place of any earlier appointment."""
        self._probe_due[sid] = due
        heapq.heappush(self._probes, (due, sid))

    def forget(self, sid: str) -> None:
        """The room is gone."""
        for queue in (
            self._unlooked,
            self._looked,
            self._orphans,
            self._probe_due,
            self._arming,
            self._hinted,
            self._young,
        ):
            queue.pop(sid, None)
        self._asking.pop(sid, None)

    def no_probe(self, sid: str) -> None:
        """The room is no orphan any more."""
        self._probe_due.pop(sid, None)

    def questions(self, purpose: Purpose, at: float) -> Iterator[Question]:
        """The rooms that want a request for this purpose now, the longest waiting first."""
        if purpose is Purpose.JOIN_HINT:
            yield from (Question(s, purpose, since) for s, since in self._hinted.items())
        elif purpose is Purpose.ARM:
            yield from (Question(s, purpose, due) for s, due in self._arming.items() if due <= at)
        elif purpose is Purpose.FALLEN:
            ready = [(a.since, sid) for sid, a in self._asking.items() if a.not_before <= at]
            yield from (Question(sid, purpose, since) for since, sid in sorted(ready))
        elif purpose is Purpose.PROBE:
            yield from self._due_probes(at)
        elif purpose is Purpose.AGAIN:
            again = self._oldest(self._orphans, AGAIN_SECONDS, at)
            yield from (Question(sid, purpose, since) for since, sid in again)
        elif purpose is Purpose.SWEEP:
            for young in (False, True):
                for since, sid in self._swept(at):
                    if self._is_young(sid, at) is young:
                        yield Question(sid, purpose, since)

    def _swept(self, at: float) -> Iterator[tuple[float, str]]:
        """In the order of their appointments: new rooms must not crowd out those that are due again."""
        return heapq.merge(
            self._oldest(self._unlooked, 0.0, at), self._oldest(self._looked, SWEEP_SECONDS, at)
        )

    def _oldest(
        self, queue: dict[str, float], pause: float, at: float
    ) -> Iterator[tuple[float, str]]:
        """Since when these rooms want a look, the longest waiting first."""
        for sid, last in queue.items():
            # Half a poll early rather than a whole poll late.
            if at - last < pause - self.poll / 2:
                return
            if sid not in self._asking:
                yield last + pause, sid

    def _is_young(self, sid: str, at: float) -> bool:
        return at < self._young.get(sid, at)

    def _due_probes(self, at: float) -> Iterator[Question]:
        due: list[tuple[float, str]] = []
        while self._probes and self._probes[0][0] <= at:
            entry = heapq.heappop(self._probes)
            if self._probe_due.get(entry[1]) == entry[0]:
                due.append(entry)
        for entry in due:
            heapq.heappush(self._probes, entry)
        yield from (Question(sid, Purpose.PROBE, since) for since, sid in dict.fromkeys(due))

    def sweep_age(self, at: float) -> float:
        """Seconds since the room looked at least recently was looked at, or first listed."""
        fronts = (next(iter(q.values()), at) for q in (self._unlooked, self._looked, self._orphans))
        return max(0.0, at - min(fronts))
