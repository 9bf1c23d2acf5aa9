"""The open episodes of one project: opened, moved and closed by observations, and not yet written.

Memory moves with the observation; the store follows at the tick's commit. What a failed commit left
unwritten stays here and goes into the next one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from watchdog.core.episodes import (
    close_episode,
    open_episode,
    person_seen_at,
    reopen_episode,
    seen_empty,
    seen_orphaned,
    sharpen_opening,
    shift_episode,
    still_there,
)
from watchdog.core.errors import RoomServiceError, RoomUnreachable
from watchdog.core.hearsay import Departure
from watchdog.core.hooks import RoomEvent
from watchdog.core.listening import take_in
from watchdog.core.model import CloseReason, Episode, Look, RoomListing, Verdict, VerdictState
from watchdog.core.policy import Action, Ruling
from watchdog.core.report import Change, ChangeKind
from watchdog.core.rooms import RoomBook, RoomState
from watchdog.core.watch import Trust

PROBE_SECONDS = 3600.0
STRANDED_PROBE_SECONDS = 600.0
GONE_KEPT = 1000
"""So many rooms that were taken for gone are remembered, should they be listed again."""


@dataclass(slots=True)
class Unwritten:
    """What the next commit has to write. A moved `last_seen_orphaned_at` alone is in `seen`."""

    episodes: dict[str, Episode] = field(default_factory=dict)
    seen: dict[str, datetime] = field(default_factory=dict)
    probed: dict[str, datetime] = field(default_factory=dict)
    clock_set: bool = False


class EpisodeTracker:
    """Follows the orphans of one project.

    `on_close` is told of every episode that ended, `on_reopen` of one whose end was not true. `why_gone`
    says of the SID of a room that is gone whether we deleted it, `watched` what the watched clock shows.
    """

    def __init__(
        self,
        project: str,
        book: RoomBook,
        *,
        new_id: Callable[[], str],
        on_close: Callable[[Episode], None],
        on_reopen: Callable[[Episode], None],
        why_gone: Callable[[str], CloseReason],
        watched: Callable[[], float],
    ) -> None:
        self._project = project
        self._book = book
        self._new_id = new_id
        self._on_close = on_close
        self._on_reopen = on_reopen
        self._why_gone = why_gone
        self._watched = watched
        self._gone: dict[str, Episode] = {}
        self._told_due: set[str] = set()
        self._policies: dict[str, str] = {}
        self._open: dict[str, Episode] = {}
        self._changes: list[Change] = []
        self._opened = 0
        self.unwritten = Unwritten()

    @property
    def episodes(self) -> Collection[Episode]:
        """The open episodes."""
        return self._open.values()

    def resume(self, episodes: Iterable[Episode], recent: Iterable[Episode], mono: float) -> None:
        """Take up the open episodes of an earlier run, and what it knew of rooms that may go on."""
        for episode in episodes:
            self._open[episode.room_sid] = episode
            self._book.resume(episode, mono)
        for closed in recent:
            if closed.room_sid in self._open:
                continue
            if closed.close_reason in (CloseReason.ROOM_GONE, CloseReason.DELETED):
                self._gone[closed.room_sid] = closed
            else:
                self._book.attended_before[closed.room_sid] = person_seen_at(closed)

    def close_returned(self, ids: frozenset[str], at: datetime, mono: float) -> None:
        """End the episodes in which an earlier run saw a person, and could not write it down (A7)."""
        for episode in [e for e in self._open.values() if e.id in ids]:
            reason = CloseReason.PERSON_RETURNED
            self._close(episode, at, reason, "a person was there before the start", mono)

    def shift(self, by: timedelta, mono: float) -> None:
        """Our wall clock was set `by`: the open episodes keep their lengths, on the new clock."""
        self._book.shift(by)
        for episode in list(self._open.values()):
            shifted = shift_episode(episode, by)
            self._set(shifted, mono)
            self.unwritten.episodes[shifted.id] = shifted
        self._gone = {sid: shift_episode(episode, by) for sid, episode in self._gone.items()}
        self.unwritten.seen.clear()
        self.unwritten.probed.clear()
        self.unwritten.clock_set = True

    def note_due(self, rulings: Mapping[str, Ruling], watched: float, mono: float) -> None:
        """Tell, once for each episode, that it has become due under its policy, and probe it (A10)."""
        self._told_due &= rulings.keys()
        self._policies = {key: ruling.policy.name for key, ruling in rulings.items()}
        for episode in self._open.values():
            ruling = rulings.get(episode.id)
            if ruling is None or episode.id in self._told_due:
                continue
            asks = ruling.policy.action is not Action.KEEP
            due = asks and ruling.is_due(watched - episode.watched_at_open)
            if due and episode.present_agents:
                self._told_due.add(episode.id)
                detail = (
                    f"policy {ruling.policy.name} asks to {ruling.policy.action}: {ruling.why_due}"
                )
                self._changes.append(Change(ChangeKind.DUE, episode, detail))
                if episode.stranded_since is None:
                    self._book.looks.probe_at(episode.room_sid, mono)

    def take_changes(self) -> tuple[Change, ...]:
        """What happened since this was last asked."""
        changes, self._changes = tuple(self._changes), []
        return changes

    def gone(self, sid: str) -> Episode | None:
        """The episode of a room that is gone, if it is still remembered."""
        return self._gone.get(sid)

    def take_opened(self) -> int:
        """How many episodes began since this was last asked."""
        opened, self._opened = self._opened, 0
        return opened

    def note_list(self, listing: RoomListing, trust: Trust, mono: float) -> None:
        """Take in a list: the episodes of rooms that are certainly gone end (A1, A7)."""
        for sid in self._book.note_list(listing, trust, mono):
            state = self._book.rooms[sid]
            if state.episode is not None:
                reason = self._why_gone(sid)
                detail = "deleted" if reason is CloseReason.DELETED else "the room is gone"
                at = self._book.finished_at(sid) or listing.answered_at
                closed = self._close(state.episode, at, reason, detail, mono, alone_until=at)
                self._gone[sid] = closed
                if len(self._gone) > GONE_KEPT:
                    del self._gone[next(iter(self._gone))]
            self._book.forget(sid)
        for sid in [sid for sid in self._gone if sid in listing.rooms]:
            self._reopen(self._gone.pop(sid), mono)

    def note_look(self, look: Look, mono: float, watched: float) -> None:
        """Take in a good look. `watched` is the project's watched clock now."""
        verdict = self._book.note_look(look, mono)
        if verdict is None:
            return
        state = self._book.rooms[look.room_sid]
        if verdict.state is VerdictState.ORPHANED:
            self._note_orphaned(state, look, verdict, mono, watched)
        elif state.episode is None:
            return
        elif verdict.state is VerdictState.ATTENDED:
            returned = state.episode.person_seen
            reason = CloseReason.PERSON_RETURNED if returned else CloseReason.PERSON_JOINED
            episode = still_there(state.episode, verdict)
            self._close(episode, look.answered_at, reason, verdict.reason, mono)
        elif verdict.state is VerdictState.EMPTY:
            left = self._book.departures(look.room_sid)
            episode, changed = seen_empty(state.episode, look.answered_at, left)
            if changed:
                self._keep(episode, ChangeKind.AGENTS, "the agents are gone", mono)

    def note_event(self, event: RoomEvent, mono: float) -> None:
        """Take in a webhook: it ends the episode of a room that a person came to, or sharpens its bounds."""
        told = take_in(self._book, event, mono)
        episode = told.state.episode if told is not None else None
        if told is None or episode is None:
            return
        if told.visited is not None:
            returned = (
                CloseReason.PERSON_RETURNED if episode.person_seen else CloseReason.PERSON_JOINED
            )
            self._close(episode, told.visited, returned, told.why, mono, alone_until=told.came)
            return
        sharpened = _sharpened(_with_history(episode, told.state), told.departure, told.state)
        if sharpened != episode:
            self._set(sharpened, mono)
            self.unwritten.episodes[episode.id] = sharpened

    def note_probe(
        self, sid: str, asked_at: datetime, error: RoomServiceError | None, mono: float
    ) -> None:
        """Take in a probe's answer: good, unreachable (the room is stranded), or no answer (A10)."""
        state = self._book.rooms.get(sid)
        if state is None or state.episode is None:
            return
        if error is None:
            state.unreachable_since = None
            self._book.looks.probe_at(sid, mono + PROBE_SECONDS)
            self._note_reachable(state.episode, asked_at, mono)
            return
        pause = STRANDED_PROBE_SECONDS
        if isinstance(error, RoomUnreachable) and state.episode.stranded_since is None:
            if state.unreachable_since is None:
                # A room that has just closed answers the same. It will be asked again only if later
                # lists still name it.
                state.unreachable_since = asked_at
                pause = 0.0
            else:
                episode = replace(
                    state.episode,
                    last_probed_at=asked_at,
                    stranded_since=state.unreachable_since,
                )
                self._keep(episode, ChangeKind.STRANDED, str(error), mono)
        self._book.looks.probe_at(sid, mono + pause)

    def _note_reachable(self, episode: Episode, asked_at: datetime, mono: float) -> None:
        was_stranded = episode.stranded_since is not None
        episode = replace(
            episode, last_probed_at=asked_at, last_reachable_at=asked_at, stranded_since=None
        )
        if was_stranded:
            self._keep(episode, ChangeKind.REACHABLE, "its node answers again", mono)
        else:
            self._set(episode, mono)
            self.unwritten.probed[episode.id] = asked_at

    def _note_orphaned(
        self, state: RoomState, look: Look, verdict: Verdict, mono: float, watched: float
    ) -> None:
        if state.episode is None:
            episode = open_episode(
                self._new_id(),
                self._project,
                state.snapshot,
                look,
                verdict,
                last_attended_at=state.last_attended_at,
                person_seen=state.person_known,
                watched=watched,
                skew=self._book.skew if self._book.skew_known else None,
            )
            self._opened += 1
            episode = _sharpened(
                _with_history(episode, state), self._book.last_departure(state), state
            )
            self._keep(episode, ChangeKind.OPENED, verdict.reason, mono)
            return
        left = self._book.departures(look.room_sid)
        episode, changed = seen_orphaned(state.episode, look, verdict, left)
        informed = _with_history(episode, state)
        if informed != episode:
            # That nobody ever came is known only as long as we kept looking, and no count said so (A8).
            episode = informed
            self.unwritten.episodes[episode.id] = episode
        if changed:
            self._keep(episode, ChangeKind.AGENTS, verdict.reason, mono)
        else:
            self._set(episode, mono)
            self.unwritten.seen[episode.id] = look.asked_at

    def _reopen(self, closed: Episode, mono: float) -> None:
        """A SID is never used again: this room had only been missing from lists (A1)."""
        episode = reopen_episode(closed)
        self._keep(episode, ChangeKind.OPENED, "the room is listed again", mono)
        self._book.note_resumed(episode, mono)
        self._on_reopen(closed)

    def _close(
        self,
        episode: Episode,
        at: datetime,
        reason: CloseReason,
        detail: str,
        mono: float,
        *,
        alone_until: datetime | None = None,
    ) -> Episode:
        left = self._book.departures(episode.room_sid)
        closed = replace(
            close_episode(episode, at, reason, left, alone_until),
            watched_at_close=self._watched(),
            policy=self._policies.get(episode.id, ""),
        )
        self._keep(closed, ChangeKind.CLOSED, detail, mono)
        del self._open[closed.room_sid]
        self._book.note_episode(closed.room_sid, None, mono)
        self._on_close(closed)
        return closed

    def _keep(self, episode: Episode, kind: ChangeKind, detail: str, mono: float) -> None:
        self._set(episode, mono)
        self.unwritten.episodes[episode.id] = episode
        self.unwritten.seen.pop(episode.id, None)
        self._changes.append(Change(kind, episode, detail))

    def _set(self, episode: Episode, mono: float) -> None:
        self._open[episode.room_sid] = episode
        self._book.note_episode(episode.room_sid, episode, mono)
        if episode.id in self.unwritten.episodes:
            self.unwritten.episodes[episode.id] = episode


def _with_history(episode: Episode, state: RoomState) -> Episode:
    """The episode with what is known of who was ever in its room (A8)."""
    return replace(
        episode,
        person_seen=state.person_known,
        person_kinds=state.kinds_known,
        hung_up=state.hung_up,
        simulated=state.simulated_seen,
    )


def _sharpened(episode: Episode, departure: Departure | None, state: RoomState) -> Episode:
    if departure is None or departure.moment is None:
        return episode
    return sharpen_opening(episode, departure.moment, state.agents_before)
