"""The page at `/`: rendered here, escaped, without a script and without anything from elsewhere."""

import base64
import hashlib
from html import escape
from math import ceil

from watchdog import __version__
from watchdog.core.model import VerdictState
from watchdog.core.report import OrphanView
from watchdog.expose.formats import (
    Unpriced,
    agent_names,
    all_priced,
    due_text,
    duration,
    iso,
    lacks_price,
    spend_text,
)
from watchdog.expose.health import Freshness, HealthState, all_fresh
from watchdog.expose.labels import MAX_LABEL, RoomNames, printable

SHOWN_ROOMS = 200
"""The page stays light; /api/v1/rooms lists them all."""

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --dim: #888; --bad: #d33; --good: #292; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
p.dim, td.dim { color: var(--dim); } .bad { color: var(--bad); } .good { color: var(--good); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
nav a { margin-right: 1rem; }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_LINKS = (
    "/metrics",
    "/healthz",
    "/readyz",
    "/api/v1/projects",
    "/api/v1/rooms",
    "/api/v1/suspects",
    "/openapi.json",
)


def render_page(state: HealthState, room_names: RoomNames, unpriced: Unpriced = all_priced) -> str:
    """The whole page as HTML."""
    orphans = state.orphans()
    rows = "".join(_room(view, room_names, unpriced) for view in orphans[:SHOWN_ROOMS])
    more = len(orphans) - SHOWN_ROOMS
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="{max(5, ceil(state.poll_interval))}">
<title>LiveKit agent watchdog: {len(orphans)} orphaned</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>LiveKit agent watchdog</h1>
<p class="dim">Rooms where only agents are left. Version {_text(__version__)}, as of {iso(state.now)}.
Money is an estimate.</p>
<h2>Projects</h2>
<table>
<thead><tr><th>project</th><th>last good tick</th><th class="number">attended</th>
<th class="number">orphaned</th><th class="number">empty</th><th class="number">unknown</th>
<th class="number">stranded</th></tr></thead>
<tbody>{"".join(_project(state, fresh) for fresh in all_fresh(state))}</tbody>
</table>
<h2>Orphaned rooms</h2>
{_rooms_table(rows) if rows else '<p class="dim">None is known.</p>'}
{f'<p class="dim">and {more} more in /api/v1/rooms</p>' if more > 0 else ""}
{_suspects(state, room_names)}
<nav>{"".join(f'<a href="{link}">{link}</a>' for link in _LINKS)}</nav>
</body>
</html>
"""


def _rooms_table(rows: str) -> str:
    return f"""<table>
<thead><tr><th>project</th><th>room</th><th>agents</th><th class="number">alone for</th>
<th class="number">spend, low to high</th><th>due</th><th>why</th></tr></thead>
<tbody>{rows}</tbody>
</table>"""


def _suspects(state: HealthState, room_names: RoomNames) -> str:
    rows = "".join(
        f"<tr><td>{_text(project)}</td><td>{escape(room_names.label(suspect.room_name))}</td>"
        f"<td>{_text(suspect.reason)}</td><td>{iso(suspect.since)}</td></tr>\n"
        for project, suspect in state.suspects()
    )
    if not rows:
        return ""
    return f"""<h2>Suspect rooms, never deleted</h2>
<table>
<thead><tr><th>project</th><th>room</th><th>reason</th><th>since</th></tr></thead>
<tbody>{rows}</tbody>
</table>"""


def _project(state: HealthState, fresh: Freshness) -> str:
    good = state.good.get(fresh.project)
    counts = [str(good.rooms.get(v, 0)) if good else "unknown" for v in VerdictState]
    counts.append(str(good.stranded) if good else "unknown")
    age = "never" if fresh.age is None else f"{duration(fresh.age)} ago"
    status = f'<span class="{"good" if fresh.ready else "bad"}">{age}</span>'
    if fresh.error:
        status += f"<br>{_text(fresh.error)}"
    numbers = "".join(f'<td class="number">{count}</td>' for count in counts)
    return f"<tr><td>{_text(fresh.project)}</td><td>{status}</td>{numbers}</tr>\n"


def _room(view: OrphanView, room_names: RoomNames, unpriced: Unpriced) -> str:
    names = ", ".join(printable(name, MAX_LABEL) for name in agent_names(view.episode))
    spend = spend_text(view.spend, unpriced=lacks_price(view.episode, unpriced))
    return (
        f"<tr><td>{_text(view.episode.project)}</td>"
        f"<td>{escape(room_names.label(view.episode.room_name))}</td>"
        f"<td>{escape(names)}</td>"
        f'<td class="number">{duration(view.age)}</td>'
        f'<td class="number">{_text(spend)}</td>'
        f"<td>{_text(due_text(view))}</td>"
        f'<td class="dim">{_text(view.reason)}</td></tr>\n'
    )


def _text(text: str) -> str:
    """Fit for HTML: nothing that steers a terminal or the page."""
    return escape(printable(text))
