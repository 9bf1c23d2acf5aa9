"""A world in which every panel of the dashboards has something to show, and a Prometheus that saw it happen.

Two projects on simulated servers: one in mode enforce, where rooms are deleted, refuse to go, or are
stranded; one in mode observe, where the rooms stay and are written down.
"""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from livekit.protocol.webhook import WebhookEvent

from tests.cli.program import (
    KEY,
    LONG,
    SECRET,
    Program,
    Running,
    Server,
    closed_port,
    eventually,
    get,
    samples,
    simulated_server,
)
from tests.monitoring import Prometheus, running_prometheus
from watchdog.simulator.faults import Fault, FaultKind
from watchdog.simulator.webhooks import signed
from watchdog.simulator.world import World

ENFORCED, OBSERVED = "voice-prod", "voice-staging"
SETTINGS = """
poll_interval = "1s"
[http]
listen = "127.0.0.1:0"
[detection]
requests_per_minute = 6000
suspect_after = "5s"
[prices]
profile = "cloud-hosted"
[budget]
per_day = "5.00"
[notify]
urls = ["json://127.0.0.1:{nobody}"]
gather = "1s"
[[policies]]
name = "demos"
match = {{ rooms = ["demo-*"] }}
action = "keep"
[[policies]]
name = "quick"
match = {{ rooms = ["call-*"] }}
grace = "2s"
allow_short_grace = true
respect_room_timeouts = false
"""
PROJECT = """
[[projects]]
name = "{name}"
url = "{url}"
api_key = "{key}"
api_secret = "{secret}"
mode = "{mode}"
"""
WARM_AND_ARMED = 180.0
"""Seconds within which the first deletion comes: a warm-up of 60, an arming of 30, and patience."""
DELETED = ("call-1001", "call-1002", "call-1003")
STUBBORN, STRANDED, RETURNED = "call-1004", "call-1005", "call-1006"


@dataclass(frozen=True)
class Scene:
    """What was watched, and who watched it."""

    prometheus: Prometheus
    began: float

    @property
    def seconds(self) -> float:
        """How long it has been watched."""
        return time.time() - self.began


@contextmanager
def scene(directory: Path) -> Iterator[Scene]:
    """The whole story, once it is over; everything still runs. It takes about three minutes."""
    with simulated_server() as enforced, simulated_server() as observed:
        _furnish(enforced, observed)
        (directory / "watchdog.toml").write_text(_settings(enforced, observed))
        with Program(directory).started("run") as daemon:
            url = daemon.url()
            began = time.time()
            with running_prometheus(
                directory,
                {"livekit-watchdog": url.removeprefix("http://")},
                labels={"instance": "watchdog:9779"},
            ) as prometheus:
                # What happens before the first scrape leaves no mark.
                scrapes = "count_over_time(livekit_watchdog_ticks_total[1m]) > 20"
                eventually(lambda: prometheus.query(scrapes))
                _happen(enforced, observed, daemon, url)
                yield Scene(prometheus, began)


def _settings(enforced: Server, observed: Server) -> str:
    projects = ((ENFORCED, enforced, "enforce"), (OBSERVED, observed, "observe"))
    # Nobody listens there: what is to be told is counted as failed.
    return SETTINGS.format(nobody=closed_port()) + "".join(
        PROJECT.format(name=name, url=server.url, key=KEY, secret=SECRET, mode=mode)
        for name, server, mode in projects
    )


def _furnish(enforced: Server, observed: Server) -> None:
    """Who is there when the watchdog comes."""
    for number in range(8):
        _talk(enforced, f"talk-{number}", f"guest-{number}")
    _talk(enforced, "talk-bots", "recorder-7")
    for number in range(3):
        _talk(observed, f"talk-{number}", f"tester-{number}")
    for room in (*DELETED, STUBBORN, STRANDED, RETURNED):
        enforced.call(room)
    for room, agent in (("demo-hall", "greeter"), ("demo-kiosk", "greeter"), ("demo-tour", "")):
        enforced.call(room, agent=agent, person=False)
    observed.call("call-2001", agent="sales", person=False)
    observed.do(lambda world: world.create_room("lobby", empty_timeout=LONG))
    enforced.simulator.faults.add(
        Fault(FaultKind.DELETE_NO_EFFECT, method="DeleteRoom", room=STUBBORN)
    )


def _talk(server: Server, room: str, identity: str) -> None:
    """A room where somebody really talks to an agent."""
    server.call(room, agent="support")

    def happen(world: World) -> None:
        world.join(room, identity)
        world.leave(room, "alice")
        world.publish(room, identity)

    server.do(happen)


def _happen(enforced: Server, observed: Server, daemon: Running, url: str) -> None:
    """What the watchdog then sees, step by step."""
    daemon.eventually(lambda: get(f"{url}/readyz").status == 200)
    observed.stop()
    daemon.eventually(lambda: daemon.logged("project not observed"))
    observed.start()
    for room in (*DELETED, STUBBORN, STRANDED, RETURNED):
        enforced.leave(room)
    _webhook(url, SECRET)
    _webhook(url, "not-the-secret-of-this-project-but-as-long")
    daemon.eventually(lambda: _count(url, "orphaned_rooms_due") >= 5)
    enforced.do(lambda world: world.join(RETURNED, "alice"))
    enforced.do(lambda world: world.strand(STRANDED))
    eventually(lambda: _count(url, "deletions_total") >= len(DELETED), within=WARM_AND_ARMED)
    eventually(lambda: _count(url, "troubled_rooms", state="ineffective") == 1)
    # Scrapes on both sides of the last event, so that every window has what it compares.
    time.sleep(12)


def _webhook(url: str, secret: str) -> None:
    event = WebhookEvent(event="room_started", id="EV_1", created_at=int(time.time()))
    event.room.name, event.room.sid = "talk-0", "RM_elsewhere"
    body, token = signed(event, KEY, secret)
    request = urllib.request.Request(
        f"{url}/webhooks/livekit/{ENFORCED}",
        data=body,
        headers={"Authorization": token, "Content-Type": "application/webhook+json"},
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(request).close()
    except urllib.error.HTTPError as refusal:
        refusal.close()


def _count(url: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(
        value
        for (sample, found), value in samples(f"{url}/metrics").items()
        if sample == f"livekit_watchdog_{name}" and labels.items() <= set(found)
    )
