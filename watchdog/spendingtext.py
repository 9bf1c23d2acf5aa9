"""How `report` reads: tables and sentences for people, JSON and CSV for programs."""

import csv
import sys
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

from rich.table import Table
from rich.text import Text

from watchdog.core.pricebook import UNIT_SECONDS
from watchdog.core.spend import Spend
from watchdog.core.watch import watched_gap
from watchdog.expose.formats import (
    UNPRICED,
    counted,
    duration,
    iso,
    money,
    percent,
    spend_json,
    spend_text,
)
from watchdog.expose.labels import MAX_LABEL, RoomNames, printable
from watchdog.expose.tables import CLOSED_BECAUSE
from watchdog.printing import print_json, say, show
from watchdog.reporting.causes import WHY, AgentCauses, Finding
from watchdog.reporting.cells import harmless
from watchdog.reporting.coverage import Coverage
from watchdog.reporting.entries import Estimate
from watchdog.reporting.focus import Sink
from watchdog.reporting.report import AGES, By, MeterSum, Report, Sums, TopRoom
from watchdog.reporting.window import Window
from watchdog.spending import Spending

ESTIMATE = (
    "An estimate from list prices: low is what certainly bills while nobody speaks, high what may. Tokens "
    "and characters cannot be seen from outside."
)
AGENTS_SHOWN = 10
"""Likely causes are shown of so many agent names; JSON has them all."""


class _Stdout:
    """Standard output, as what a file is made of."""

    def write(self, text: str, /) -> object:
        # A file for programs is UTF-8 whatever this terminal speaks.
        return sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))


STDOUT: Sink = _Stdout()


# ---- for people ------------------------------------------------------------------------------------


def show_spending(found: Spending, names: RoomNames, poll: float) -> None:
    """The whole report. `poll` is seconds between polls."""
    report = found.report
    for line in summary_lines(found, poll):
        say(line)
    if report.groups:
        say("")
        show(groups_table(report))
    if report.meters:
        say("")
        show(meters_table(report))
    if report.rooms:
        say("\nThe dearest rooms:")
        show(rooms_table(report.rooms, names))
    if any(report.ages):
        ages = [f"{name} {n}" for (name, _), n in zip(AGES, report.ages, strict=True) if n]
        say(f"\nHow long agents were alone, in episodes: {', '.join(ages)}")
    if report.agents:
        say("\nWhy, most likely, and what ends it:")
        for agent in report.agents[:AGENTS_SHOWN]:
            for line in cause_lines(agent):
                say(line)
        if len(report.agents) > AGENTS_SHOWN:
            say(f"and {len(report.agents) - AGENTS_SHOWN} more agent names: see --json")
    say(f"\n{ESTIMATE}")


def summary_lines(found: Spending, poll: float) -> Iterator[str]:
    """What it comes to, and what is not in it."""
    report, sums = found.report, found.report.totals
    yield (
        f"{_window_text(report.window, found.as_of)}: {counted(sums.episodes, 'episode')} began, "
        f"{sums.never_attended} of them known never to have had a person; agents were alone for "
        f"{duration(sums.orphaned_seconds)}"
    )
    yield f"{'spend':<13}{_sums_text(sums)} (estimate)"
    if found.effective is not None:
        yield f"{'effective':<13}{spend_text(found.effective)} once what is left of the allowance is used up"
    for (project, basis), usd in sorted(found.avoided.usd.items()):
        yield f"{'avoided':<13}{money(usd)} by deletions in {printable(project)} (basis {basis.value})"
    for one in found.corrected:
        most = max(one.less.low, one.less.high, one.less.unverified)
        yield (
            f"{'corrected':<13}exported counters of {printable(one.project)} say up to {money(most)} more: "
            f"corrected downwards {counted(one.times, 'time')}"
        )
    for meter in report.meters:
        if not meter.priced:
            yield _without_price(meter, found.included.get(meter.meter))
    for estimate, what in _RECKONED.items():
        if count := report.estimates.get(estimate):
            yield f"{'reckoned':<13}{counted(count, 'episode')} {what}"
    for project, seen in found.coverage.items():
        yield f"{'blind':<13}{_coverage_text(project, seen, poll)}"


_RECKONED = {
    Estimate.RUNNING: "not over yet: until the newest tick, with the prices of today",
    Estimate.TODAYS_PRICES: "older than the ledger: with the prices of today",
    Estimate.NOT_RECKONED: "of a project that is not configured: not in these sums",
}


def _without_price(meter: MeterSum, included: int | None) -> str:
    if not meter.quota:
        lasted = duration(float(meter.seconds))
        return f"not in these sums: {meter.meter}, {lasted}, {UNPRICED} under plan {meter.plan}"
    used = meter.seconds / UNIT_SECONDS.get(meter.unit, 1)
    of = f" of {included:,} a month" if included else ""
    return (
        f"{'quota':<13}{meter.meter}: up to {used:,.1f} {meter.unit}{of}; plan build sells no more"
    )


def _coverage_text(project: str, seen: Coverage | None, poll: float) -> str:
    name = printable(project)
    if seen is None:
        return f"{name}: not known; no tick of that time is stored"
    share = seen.blind_share
    since = "the first tick" if seen.start is None else f"{seen.start:%Y-%m-%d %H:%M} UTC"
    text = f"{name}: " + (
        "no time has passed" if share is None else f"{percent(share)} ({duration(seen.blind)})"
    )
    text += f" since {since}"
    if seen.blind:
        text += "; what was alone only then is not in here"
    if not seen.reaches_back:
        text += f", when the records kept begin; before that at most {duration(seen.blind_before)}"
    if seen.unseen > watched_gap(poll):
        text += f"; NOTHING SEEN in the last {duration(seen.unseen)}"
    return text


def groups_table(report: Report) -> Table:
    """The sums by what was asked for."""
    table = _table()
    for by in report.by:
        table.add_column(by.value.replace("_", " "), overflow="fold")
    table.add_column("episodes", justify="right")
    table.add_column("alone for", justify="right")
    table.add_column("spend", justify="right", overflow="fold")
    for key, sums in report.groups.items():
        table.add_row(
            *(Text(_value(by, value)) for by, value in zip(report.by, key, strict=True)),
            str(sums.episodes),
            duration(sums.orphaned_seconds),
            _sums_text(sums),
        )
    return table


def meters_table(report: Report) -> Table:
    """The sums by meter."""
    table = _table()
    table.add_column("meter", overflow="fold")
    table.add_column("plan")
    table.add_column("time, at most", justify="right")
    table.add_column("spend", justify="right", overflow="fold")
    for meter in report.meters:
        table.add_row(
            Text(printable(meter.meter, MAX_LABEL)),
            meter.plan,
            duration(float(meter.seconds)),
            spend_text(meter.spend) if meter.priced else _kind_of(meter),
        )
    return table


def _kind_of(meter: MeterSum) -> str:
    return "quota" if meter.quota else UNPRICED


def rooms_table(rooms: tuple[TopRoom, ...], names: RoomNames) -> Table:
    """The dearest rooms."""
    table = _table()
    table.add_column("room", overflow="fold")
    table.add_column("since (UTC)", overflow="fold", min_width=10)
    table.add_column("alone for", justify="right")
    table.add_column("spend", justify="right", overflow="fold")
    table.add_column("and then", overflow="fold")
    for room in rooms:
        episode = room.case.episode
        reason = episode.close_reason
        table.add_row(
            Text(names.label(episode.room_name)),
            f"{room.case.stretch[0]:%Y-%m-%d %H:%M}",
            duration(room.case.age),
            spend_text(room.spend, unpriced=room.unpriced),
            "still open" if reason is None else CLOSED_BECAUSE[reason],
        )
    return table


def cause_lines(agent: AgentCauses) -> Iterator[str]:
    """An agent's likely causes with their cures, a line each."""
    name, project = printable(agent.agent_name, MAX_LABEL), printable(agent.project)
    yield f"{name} ({project}): {counted(agent.episodes, 'episode')}, {spend_text(agent.spend)}"
    findings = agent.in_order()
    for found in findings:
        likely, cure = _why(found)
        yield f"  {counted(found.episodes, 'episode')}: {likely}"
        yield f"    -> {cure}"
    if not findings:
        yield "  not known, nor whether a person was ever there: webhooks would tell"


def _why(found: Finding) -> tuple[str, str]:
    likely, cure = WHY[found.cause]
    return likely, cure.format(longest=duration(found.longest))


def _table() -> Table:
    return Table(box=None, padding=(0, 2, 0, 0), header_style="bold")


def _value(by: By, value: str) -> str:
    if by is By.POLICY and not value:
        return "none yet"
    return printable(value, MAX_LABEL)


def _sums_text(sums: Sums) -> str:
    """Money, and that there is something without a price; never $0 for what has none."""
    nothing = sums.spend == Spend()
    parts = [] if nothing and (sums.unpriced or sums.quota) else [spend_text(sums.spend)]
    if sums.quota:
        parts.append(f"{sums.quota / 60:,.1f} min of quota")
    if sums.unpriced:
        parts.append(UNPRICED)
    return " + ".join(parts)


def _window_text(window: Window, as_of: datetime) -> str:
    until = window.until or as_of
    since = "from the beginning" if window.since is None else f"{window.since:%Y-%m-%d %H:%M}"
    return f"{since} to {until:%Y-%m-%d %H:%M} UTC"


# ---- for programs ----------------------------------------------------------------------------------


def print_spending_json(found: Spending, names: RoomNames) -> None:
    """The whole report."""
    report = found.report
    print_json(
        {
            "since": iso(report.window.since),
            "until": iso(report.window.until),
            "as_of": iso(found.as_of),
            "estimate": ESTIMATE,
            "by": [by.value for by in report.by],
            "totals": _sums_json(report.totals),
            "effective": None if found.effective is None else _usd(found.effective),
            "groups": [
                {by.value: value for by, value in zip(report.by, key, strict=True)}
                | _sums_json(sums)
                for key, sums in report.groups.items()
            ],
            "meters": [_meter_json(meter, found) for meter in report.meters],
            "days": [{"day": day.isoformat()} | _usd(spend) for day, spend in report.days.items()],
            "avoided": [
                {"project": project, "basis": basis.value, "usd": f"{usd:f}"}
                for (project, basis), usd in sorted(found.avoided.usd.items())
            ],
            "corrections": [
                {"project": one.project, "times": one.times} | _usd(one.less)
                for one in found.corrected
            ],
            "coverage": [_coverage_json(name, seen) for name, seen in found.coverage.items()],
            "estimates": {how.value: count for how, count in report.estimates.items()},
            "ages": [
                {"age": name, "episodes": n} for (name, _), n in zip(AGES, report.ages, strict=True)
            ],
            "rooms": [_room_json(room, names) for room in report.rooms],
            "agents": [_agent_json(agent) for agent in report.agents],
        }
    )


def write_spending_csv(report: Report, sink: Sink) -> None:
    """One row a group; names that a spreadsheet would take for a formula get an apostrophe."""
    writer = csv.writer(sink, lineterminator="\n")
    sums = _sums_json(report.totals)
    writer.writerow([*(by.value for by in report.by), *sums])
    for key, found in report.groups.items():
        writer.writerow(
            [*(harmless(printable(value)) for value in key), *_sums_json(found).values()]
        )


def _sums_json(sums: Sums) -> dict[str, Any]:
    """USD as decimal text; null, and not 0, where nothing of it has a price."""
    nothing = sums.spend == Spend() and (sums.unpriced or sums.quota)
    return {
        "episodes": sums.episodes,
        "never_attended": sums.never_attended,
        "orphaned_seconds": round(sums.orphaned_seconds, 3),
        **(dict.fromkeys(_usd(sums.spend)) if nothing else _usd(sums.spend)),
        "unpriced_seconds": _number(sums.unpriced),
        "quota_seconds": _number(sums.quota),
    }


def _usd(spend: Spend) -> dict[str, str]:
    """With no more digits than it takes, in whatever way a sum came about."""
    return spend_json(Spend(*(a.normalize() for a in (spend.low, spend.high, spend.unverified))))


def _meter_json(meter: MeterSum, found: Spending) -> dict[str, Any]:
    spend = _usd(meter.spend)
    return {
        "meter": meter.meter,
        "plan": meter.plan,
        "unit": meter.unit,
        "seconds": _number(meter.seconds),
        "units": _number(meter.seconds / UNIT_SECONDS.get(meter.unit, 1)),
        "is_priced": meter.priced,
        "is_quota": meter.quota,
        "included_a_month": found.included.get(meter.meter) if meter.quota else None,
        **(spend if meter.priced else dict.fromkeys(spend)),
    }


def _coverage_json(project: str, seen: Coverage | None) -> dict[str, Any]:
    if seen is None:
        return {"project": project, "watched_seconds": None, "blind_seconds": None}
    return {
        "project": project,
        "since": iso(seen.start),
        "until": iso(seen.end),
        "watched_seconds": seen.watched,
        "blind_seconds": seen.blind,
        "blind_share": seen.blind_share,
        "reaches_back": seen.reaches_back,
        "blind_seconds_before": seen.blind_before,
        "unseen_seconds": seen.unseen,
    }


def _room_json(room: TopRoom, names: RoomNames) -> dict[str, Any]:
    episode, case = room.case.episode, room.case
    nothing = room.unpriced and room.spend == Spend()
    spend = _usd(room.spend)
    return {
        "project": episode.project,
        "room_name": names.private(episode.room_name),
        "room_sid": episode.room_sid,
        "episode": episode.id,
        "since": iso(case.stretch[0]),
        "until": iso(case.stretch[1]),
        "age_seconds": round(case.age, 3),
        "policy": episode.policy,
        "close_reason": episode.close_reason.value if episode.close_reason else None,
        "estimate": case.estimate.value,
        **(dict.fromkeys(spend) if nothing else spend),
        "spend_is_complete": not room.unpriced,
    }


def _agent_json(agent: AgentCauses) -> dict[str, Any]:
    return {
        "project": agent.project,
        "agent_name": agent.agent_name,
        "episodes": agent.episodes,
        **_usd(agent.spend),
        "likely_causes": [_finding_json(found) for found in agent.in_order()],
    }


def _finding_json(found: Finding) -> dict[str, Any]:
    likely, cure = _why(found)
    return {
        "cause": found.cause.value,
        "likely": likely,
        "cure": cure,
        "episodes": found.episodes,
        **_usd(found.spend),
        "longest_timeout_seconds": found.longest or None,
    }


def _number(amount: Decimal) -> float:
    return round(float(amount), 3)
