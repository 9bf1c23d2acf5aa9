"""Orphaned rooms, one episode, one change: as the terminal shows them."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Group
from rich.table import Table
from rich.text import Text

from watchdog.core.deletion import BY_POLICY, AuditEntry, AuditKind, Outcome
from watchdog.core.gates import Word
from watchdog.core.model import Bounds, CloseReason, Episode
from watchdog.core.policy import Action, Ruling
from watchdog.core.report import Change, ChangeKind, OrphanView
from watchdog.core.roomlists import ListEntry, Standing
from watchdog.core.spend import Spend
from watchdog.expose.formats import (
    UNPRICED,
    Unpriced,
    agent_names,
    all_priced,
    due_text,
    duration,
    iso,
    lacks_price,
    spend_text,
    wall_seconds,
)
from watchdog.expose.labels import MAX_LABEL, RoomNames, printable

CLOSED_BECAUSE = {
    CloseReason.PERSON_RETURNED: "a person came back",
    CloseReason.PERSON_JOINED: "a person joined",
    CloseReason.ROOM_GONE: "the room is gone",
    CloseReason.DELETED: "deleted by the watchdog",
}

HAPPENED = {
    ChangeKind.OPENED: "only agents are left",
    ChangeKind.CLOSED: "over",
    ChangeKind.AGENTS: "its agents changed",
    ChangeKind.STRANDED: "listed, but its node does not answer",
    ChangeKind.REACHABLE: "reachable again",
    ChangeKind.DUE: "past its threshold",
    ChangeKind.WOULD_DELETE: "would be deleted",
    ChangeKind.DELETION_SENT: "deletion asked for",
    ChangeKind.NOT_DELETED: "not deleted",
    ChangeKind.WARNED: "its agents are warned",
    ChangeKind.DISPATCH_ENDED: "its dispatches are ended first",
}

_SIGNS = {
    ChangeKind.OPENED: ("●", "*", "yellow"),
    ChangeKind.CLOSED: ("✔", "+", "green"),
    ChangeKind.AGENTS: ("~", "~", "cyan"),
    ChangeKind.STRANDED: ("!", "!", "red"),
    ChangeKind.REACHABLE: ("✔", "+", "green"),
    ChangeKind.DUE: ("▲", "^", "bold red"),
    ChangeKind.WOULD_DELETE: ("✂", "x", "magenta"),
    ChangeKind.DELETION_SENT: ("✂", "x", "bold magenta"),
    ChangeKind.NOT_DELETED: ("!", "!", "red"),
    ChangeKind.WARNED: ("▲", "^", "magenta"),
    ChangeKind.DISPATCH_ENDED: ("✂", "x", "magenta"),
}


def rooms_table(
    orphans: Sequence[OrphanView],
    *,
    room_names: RoomNames | None = None,
    unpriced: Unpriced = all_priced,
    limit: int | None = None,
    narrow: bool = False,
) -> Table:
    """Orphaned rooms, the oldest first; at most `limit` lines, the last of which counts the rest.

    `narrow` leaves the project and the reason out and keeps every room on one line.
    """
    names = room_names or RoomNames()
    table = Table(box=None, expand=narrow, padding=(0, 2, 0, 0), header_style="bold")
    if not narrow:
        table.add_column("project")
    table.add_column("room", no_wrap=narrow, overflow="ellipsis" if narrow else "fold", ratio=3)
    table.add_column("agent", no_wrap=narrow, overflow="ellipsis" if narrow else "fold", ratio=3)
    table.add_column("alone for", justify="right", no_wrap=True)
    table.add_column("spend, low to high", justify="right", no_wrap=True)
    table.add_column("due", no_wrap=narrow, overflow="ellipsis" if narrow else "fold", ratio=4)
    if not narrow:
        table.add_column("why", overflow="fold", ratio=4)
    oldest = sorted(orphans, key=lambda view: -view.age)
    shown = oldest if limit is None or len(oldest) <= limit else oldest[: max(0, limit - 1)]
    for view in shown:
        row = (
            Text(names.label(view.episode.room_name)),
            Text(_names(view.episode) or "(none)"),
            Text(duration(view.age), _age_style(view.age)),
            Text(spend_text(view.spend, unpriced=lacks_price(view.episode, unpriced))),
            Text(due_text(view), "bold red" if view.due else ""),
        )
        if narrow:
            table.add_row(*row)
        else:
            project = Text(printable(view.episode.project, MAX_LABEL))
            table.add_row(project, *row, Text(printable(view.reason), "dim"))
    if len(shown) < len(oldest):
        more = Text(f"and {len(oldest) - len(shown)} more", "dim")
        table.add_row(*(() if narrow else ("",)), more)
    return table


def episode_lines(
    episode: Episode,
    *,
    room_names: RoomNames | None = None,
    age: float | None = None,
    reason: str = "",
    spend: Spend | None = None,
    unpriced: Unpriced = all_priced,
) -> Group:
    """One episode in full, for `explain`: what is known, with both bounds at each end.

    `age` is watched seconds; without it the span is given by the wall clock. `spend` None: unpriced.
    """
    names = room_names or RoomNames()
    bounds = episode.bounds
    if episode.close_reason is None:
        state = Text("open", "bold yellow")
    else:
        state = Text(f"closed: {CLOSED_BECAUSE[episode.close_reason]}", "green")
    lasted = (
        f"{duration(age)} (watched)"
        if age is not None
        else f"{duration(wall_seconds(episode))} (wall clock)"
    )
    cost = spend_text(spend, unpriced=lacks_price(episode, unpriced)) if spend else UNPRICED
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in (
        ("room", names.label(episode.room_name)),
        ("project", printable(episode.project, MAX_LABEL)),
        ("room SID", printable(episode.room_sid, MAX_LABEL)),
        ("episode", printable(episode.id, MAX_LABEL)),
        ("state", state),
        ("why", printable(reason)),
        ("lasted", lasted),
        ("spend (estimate)", cost),
        ("person seen before", _PERSON_SEEN[episode.person_seen]),
        ("began after", iso(bounds.last_attended_at) or "not known"),
        ("began by", iso(bounds.first_orphaned_at)),
        ("seen until", _seen_until(bounds)),
        ("over by", iso(bounds.first_gone_at) or "not over"),
        ("stranded since", iso(episode.stranded_since)),
        (
            "room timeouts",
            f"departure {episode.departure_timeout} s, empty {episode.empty_timeout} s",
        ),
    ):
        if value:
            facts.add_row(name, value if isinstance(value, Text) else Text(value))
    return Group(facts, Text(), _agents_table(episode))


def _seen_until(bounds: Bounds) -> str | None:
    """A look is dated to its answer where an episode begins, and to its question where it goes on."""
    if bounds.last_seen_orphaned_at <= bounds.first_orphaned_at:
        return "that one look so far"
    return iso(bounds.last_seen_orphaned_at)


def ruling_lines(ruling: Ruling, age: float) -> Group:
    """What the policies say of an episode of that age in watched seconds, and why the others do not."""
    policy = ruling.policy
    name = printable(policy.name, MAX_LABEL)
    if policy.action is Action.KEEP:
        says = Text(f"policy {name} keeps this room")
    elif ruling.is_due(age):
        says = Text(f"due under policy {name} since {duration(ruling.due_age)}", "bold red")
        says.append(f" ({policy.action}; {ruling.why_due})", "")
    else:
        says = Text(f"due under policy {name} in {duration(ruling.due_age - age)}")
        says.append(f", at {duration(ruling.due_age)} ({policy.action}; {ruling.why_due})")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("policy", "matches", "why"):
        table.add_column(column, overflow="fold")
    for step in ruling.walk:
        table.add_row(
            Text(printable(step.policy.name, MAX_LABEL)),
            step.fit.value,
            Text(printable(step.why)),
        )
    return Group(says, Text(), table)


def words_table(words: Sequence[Word]) -> Table:
    """What every gate says of a room, in the order in which they are asked."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("gate", "passes", "why"):
        table.add_column(column, overflow="fold")
    said = {True: ("yes", "green"), False: ("NO", "bold red"), None: ("not known here", "yellow")}
    for word in words:
        table.add_row(word.gate, Text(*said[word.passes]), Text(printable(word.why)))
    return table


def audit_table(entries: Sequence[AuditEntry]) -> Table:
    """Lines of the audit, as they are given."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("at (UTC)", "project", "room", "what", "by", "why"):
        table.add_column(column, overflow="fold")
    for entry in entries:
        what = entry.outcome.value if entry.outcome else entry.kind.value
        if entry.kind is AuditKind.ANSWER:
            what = f"{what}, to be verified"
        if entry.kind is AuditKind.ENDED and entry.outcome:
            what = f"no {entry.kind.value}: {what}"
        by_policy = entry.actor == BY_POLICY
        table.add_row(
            f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
            Text(printable(entry.project, MAX_LABEL) or "every"),
            Text(printable(entry.room_name, MAX_LABEL)),
            Text(what, "bold red" if entry.outcome is Outcome.DELETED else ""),
            Text(printable(f"policy {entry.policy}" if by_policy else entry.actor, MAX_LABEL)),
            Text(printable(entry.why)),
        )
    return table


def listing_table(configured: Sequence[str], stored: Sequence[ListEntry], now: datetime) -> Table:
    """What is on a list and where that comes from, that of the configuration first."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("pattern", "project", "origin", "by", "why", "until (UTC)", "standing"):
        table.add_column(column, overflow="fold")
    table.add_column("id", no_wrap=True)
    for glob in configured:
        table.add_row(Text(printable(glob)), "every", "config", "", "", "", "in force", "")
    for entry in stored:
        standing = entry.standing(now)
        table.add_row(
            Text(printable(entry.pattern)),
            Text(printable(entry.project, MAX_LABEL) or "every"),
            "stored",
            Text(printable(entry.actor, MAX_LABEL)),
            Text(printable(entry.reason)),
            f"{entry.until.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if entry.until else "",
            Text(standing.value, "" if standing is Standing.IN_FORCE else "dim"),
            entry.id,
        )
    return table


def _clock(at: datetime | None) -> str:
    """The time of day: the dates stand above the table."""
    return f"{at.astimezone(UTC):%H:%M:%S}" if at else ""


_PERSON_SEEN = {True: "yes", False: "no, nobody ever joined", None: "not known"}


def _agents_table(episode: Episode) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("agent", "identity", "kind", "role", "seen from", "seen until", "gone by"):
        table.add_column(column, overflow="fold")
    for span in episode.agents:
        table.add_row(
            Text(printable(span.agent_name, MAX_LABEL)),
            Text(printable(span.identity, MAX_LABEL)),
            Text(printable(span.kind, MAX_LABEL)),
            span.role.value,
            _clock(span.bounds.first_orphaned_at),
            _clock(max(span.bounds.first_orphaned_at, span.bounds.last_seen_orphaned_at)),
            _clock(span.bounds.first_gone_at) or "still there",
        )
    return table


def change_line(
    at: datetime, change: Change, room_names: RoomNames, *, ascii_signs: bool = False
) -> Text:
    """One change as one line, in plain words. What reads plain lines may want its sign in ASCII."""
    sign, plain_sign, style = _SIGNS[change.kind]
    episode = change.episode
    gone = episode.is_open and not episode.present_agents
    agents = "" if gone else _names(episode)
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{at.astimezone(UTC):%H:%M:%S} ", "dim")
    line.append(f"{plain_sign if ascii_signs else sign} ", style)
    line.append(room_names.label(episode.room_name), "bold")
    if change.kind is ChangeKind.CLOSED and episode.close_reason is not None:
        line.append(f": {CLOSED_BECAUSE[episode.close_reason]}", style)
        line.append(f" after {duration(wall_seconds(episode))}")
    else:
        line.append(f": {HAPPENED[change.kind]}", style)
        line.append(f" ({agents})" if agents else "")
    if change.detail and change.detail not in line.plain:
        line.append(f"  {printable(change.detail)}", "dim")
    return line


def _names(episode: Episode) -> str:
    return ", ".join(printable(name, MAX_LABEL) for name in agent_names(episode))


def _age_style(age: float) -> str:
    if age >= 3600:
        return "bold red"
    return "yellow" if age >= 300 else ""
