"""Notices gathered into one message, and so many messages an hour. Pure: `now` is an argument."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from watchdog.expose.formats import duration
from watchdog.notifying.notices import Kind, Level, Notice, Topic

NAMED = 10
"""So many lines of one topic are written out; the rest is counted."""
MOST_TOPICS = 12
"""So many topics stand in one message; the notices of the rest are counted."""
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Message:
    """What goes out, in plain text. `count` is of how many notices it tells."""

    title: str
    body: str
    level: Level
    count: int


@dataclass(slots=True)
class _Gathered:
    count: int = 0
    lines: list[str] = field(default_factory=list)

    def add(self, notice: Notice) -> None:
        self.count += notice.count
        if len(self.lines) < NAMED:
            self.lines.append(notice.line)


@dataclass(slots=True)
class Digest:
    """Gathers for `gather` seconds after the first notice, then gives one message.

    At most `per_hour` in any hour: beyond that it goes on gathering, and the next message tells all of it.
    What it keeps meanwhile is bounded: lines of each topic, and counts. Times are monotonic seconds.
    """

    gather: float
    per_hour: int
    _topics: dict[Topic, _Gathered] = field(default_factory=dict)
    _since: float | None = None
    _sent: deque[float] = field(default_factory=deque)
    _was_held_back: bool = False

    def add(self, notices: Iterable[Notice], now: float) -> None:
        """Take these up."""
        for notice in notices:
            self._topics.setdefault(notice.topic, _Gathered()).add(notice)
            if self._since is None:
                self._since = now

    def is_ready(self, now: float) -> bool:
        """Whether something was gathered for long enough."""
        return self._since is not None and now - self._since >= self.gather

    def is_held_back(self, now: float) -> bool:
        """Whether the limit of an hour forbids a message now."""
        while self._sent and now - self._sent[0] >= HOUR:
            self._sent.popleft()
        return len(self._sent) >= self.per_hour

    def due(self, now: float) -> Message | None:
        """The message to send now, if there is one."""
        if not self.is_ready(now):
            return None
        if self.is_held_back(now):
            self._was_held_back = True
            return None
        return self.flush(now)

    def flush(self, now: float) -> Message | None:
        """Everything that was gathered, whether it is time or not."""
        if self._since is None:
            return None
        late = ""
        if self._was_held_back:
            late = (
                f"The first of this waited for {duration(now - self._since)}: "
                f"{self.per_hour} messages an hour are allowed."
            )
        topics, self._topics, self._since = self._topics, {}, None
        self._was_held_back = False
        self._sent.append(now)
        return _message(topics, late)


def _message(topics: dict[Topic, _Gathered], late: str) -> Message:
    order = sorted(topics, key=lambda topic: (-topic.level, topic.project))
    parts = [_part(topic, topics[topic]) for topic in order[:MOST_TOPICS]]
    if left := order[MOST_TOPICS:]:
        parts.append(f"And {sum(topics[topic].count for topic in left)} more of other kinds.")
    if late:
        parts.append(late)
    return Message(
        _title(topics, order),
        "\n\n".join(parts),
        order[0].level,
        sum(gathered.count for gathered in topics.values()),
    )


def _title(topics: dict[Topic, _Gathered], order: list[Topic]) -> str:
    words: Counter[str] = Counter()
    for topic in order:
        words[topic.word] += topics[topic].count
    of_project = {topic.word for topic in order if topic.kind in (Kind.BLIND, Kind.HELD)}
    projects = sorted({topic.project for topic in order})
    where = projects[0] if len(projects) == 1 else f"{len(projects)} projects"
    said = ", ".join(
        word if word in of_project and n == 1 else f"{n} {word}" for word, n in words.items()
    )
    return f"LiveKit watchdog, {where}: {said}"


def _part(topic: Topic, gathered: _Gathered) -> str:
    head = f"{topic.project}: {topic.heading}"
    if gathered.count > 1:
        head += f": {gathered.count}"
    lines = [f"- {line}" for line in gathered.lines]
    if len(gathered.lines) == NAMED and gathered.count > NAMED:
        lines.append(f"- and {gathered.count - NAMED} more")
    return "\n".join([head, *lines])
