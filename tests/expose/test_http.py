"""What can be asked over HTTP, and that nothing can be changed."""

import html
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html.parser import HTMLParser

import httpx
import pytest
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry

from tests.expose.builders import NASTY, START, at, failed, orphan, report, usd
from watchdog.core.model import TickResult
from watchdog.expose.health import HealthState, ReportBoard
from watchdog.expose.http import build_app
from watchdog.expose.labels import RoomNames
from watchdog.expose.metrics import Metrics


@dataclass
class Daemon:
    """The part of a running daemon that HTTP sees, on clocks the test moves."""

    projects: tuple[str, ...] = ("prod",)
    now: datetime = START
    monotonic: float = 1000.0
    last_turn: float = 1000.0
    standby: bool = False
    room_names: RoomNames = field(default_factory=RoomNames)
    unpriced: tuple[str, ...] = ()

    def __post_init__(self):
        self.board = ReportBoard()
        self.metrics = Metrics(CollectorRegistry(), self.room_names)

    def state(self):
        return HealthState(
            projects=dict.fromkeys(self.projects, 15.0),
            reports=self.board.latest,
            good=self.board.good,
            last_turn=self.last_turn,
            monotonic=self.monotonic,
            now=self.now,
            poll_interval=15.0,
            standby=self.standby,
        )

    def tick(self, tick):
        self.board.take(tick)
        self.metrics.on_report(tick)
        self.last_turn = self.monotonic

    def wait(self, seconds):
        self.now += timedelta(seconds=seconds)
        self.monotonic += seconds

    def app(self):
        return build_app(
            self.state, self.metrics, self.room_names, lambda _, name: name in self.unpriced
        )

    @asynccontextmanager
    async def client(self):
        transport = httpx.ASGITransport(self.app())
        async with httpx.AsyncClient(transport=transport, base_url="http://watchdog") as client:
            yield client

    async def get(self, path, **more):
        async with self.client() as client:
            return await client.get(path, **more)


def running(*orphans, **more):
    daemon = Daemon(**more)
    daemon.now = at(15)
    for project in daemon.projects:
        daemon.tick(report(1, project=project, orphans=tuple(orphans)))
    return daemon


async def test_alive_until_the_loop_has_not_turned_for_five_intervals():
    daemon = Daemon()
    daemon.wait(75)
    answer = await daemon.get("/healthz")
    assert (answer.status_code, answer.json()) == (
        200,
        {"alive": True, "last_turn_seconds": 75.0, "limit_seconds": 75.0},
    )
    daemon.wait(0.5)
    answer = await daemon.get("/healthz")
    assert (answer.status_code, answer.json()["alive"]) == (503, False)
    daemon.tick(failed(1))
    assert (await daemon.get("/healthz")).status_code == 200


async def test_a_failing_project_is_alive_but_not_ready():
    daemon = running()
    for number in range(2, 12):
        daemon.wait(15)
        daemon.tick(failed(number, error="ListRooms: 401 (wrong key)", last_success_at=at(15)))
    assert (await daemon.get("/healthz")).status_code == 200
    answer = await daemon.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["projects"]["prod"] == {
        "ready": False,
        "age_seconds": 150.0,
        "last_success_at": "2026-09-01T12:00:15.000Z",
        "result": "failed",
        "error": "ListRooms: 401 (wrong key)",
        "limit_seconds": 75.0,
    }


async def test_ready_while_the_last_good_tick_is_at_most_five_intervals_old():
    daemon = running()
    daemon.wait(75)
    assert (await daemon.get("/readyz")).status_code == 200
    daemon.wait(1)
    assert (await daemon.get("/readyz")).status_code == 503
    daemon.tick(report(2, last_success_at=daemon.now))
    assert (await daemon.get("/readyz")).status_code == 200


async def test_not_ready_before_every_project_had_a_good_tick():
    daemon = Daemon(projects=("prod", "test"))
    daemon.now = at(15)
    answer = await daemon.get("/readyz")
    assert answer.json()["projects"]["prod"]["error"] == "no tick has ended yet"
    daemon.tick(report(1, project="prod"))
    daemon.tick(report(1, project="test", result=TickResult.SUSPICIOUS, last_success_at=None))
    answer = await daemon.get("/readyz")
    ready = {name: p["ready"] for name, p in answer.json()["projects"].items()}
    assert (answer.status_code, ready) == (503, {"prod": True, "test": False})
    assert answer.json()["projects"]["test"]["error"] == "no tick has been good yet"
    daemon.tick(report(2, project="test", last_success_at=daemon.now))
    assert (await daemon.get("/readyz")).status_code == 200


@pytest.mark.trap("T36")
async def test_t36_a_good_tick_in_the_future_is_not_taken_for_fresh():
    daemon = running()
    daemon.now -= timedelta(hours=1)
    assert (await daemon.get("/readyz")).status_code == 503


async def test_without_a_project_nothing_is_ready():
    assert (await Daemon(projects=()).get("/readyz")).status_code == 503


async def test_a_replica_whose_projects_others_have_is_ready_to_take_them():
    assert (await Daemon(projects=(), standby=True).get("/readyz")).status_code == 200
    assert (await Daemon(standby=True).get("/readyz")).status_code == 503, (
        "its own have no tick yet"
    )


async def test_metrics_come_in_the_format_that_is_asked_for():
    daemon = running(orphan())
    plain = await daemon.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'livekit_watchdog_rooms{project="prod",verdict="attended"} 3.0' in plain.text
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    modern = await daemon.get("/metrics", headers=accept)
    assert modern.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert modern.text.endswith("# EOF\n")


async def test_orphaned_rooms_are_listed_oldest_first_with_what_is_known_of_them():
    old, young = orphan(1, room="old", age=500), orphan(2, room="young", age=20)
    daemon = running(young, old)
    rooms = (await daemon.get("/api/v1/rooms")).json()
    assert [r["episode"]["room_name"] for r in rooms] == ["old", "young"]
    assert rooms[0]["age_seconds"] == 500
    assert rooms[0]["reason"] == "1 agent, nobody else"
    assert rooms[0]["spend"] == {"low_usd": "0.0123", "high_usd": "0.02", "unverified_usd": "0"}
    assert rooms[0]["episode"]["agents"][0]["agent_name"] == "support"
    assert rooms[0]["episode"]["bounds"]["first_orphaned_at"] == "2026-09-01T12:00:00.000Z"


async def test_rooms_can_be_asked_for_by_project():
    daemon = running(orphan(1), projects=("prod", "test"))
    assert len((await daemon.get("/api/v1/rooms")).json()) == 2
    assert len((await daemon.get("/api/v1/rooms", params={"project": "test"})).json()) == 1
    assert (await daemon.get("/api/v1/rooms", params={"project": "nope"})).json() == []


async def test_a_failed_tick_leaves_the_last_known_rooms_in_place():
    daemon = running(orphan(1))
    daemon.tick(failed(2, last_success_at=at(15)))
    assert len((await daemon.get("/api/v1/rooms")).json()) == 1
    project = (await daemon.get("/api/v1/projects")).json()[0]
    assert project["rooms"]["orphaned"] == 1
    assert project["result"] == "failed"


async def test_projects_tell_nothing_they_do_not_know():
    daemon = Daemon()
    assert (await daemon.get("/api/v1/projects")).json() == [
        {
            "name": "prod",
            "ready": False,
            "result": None,
            "error": "no tick has ended yet",
            "last_success_at": None,
            "rooms": {},
            "orphaned_agents": {},
            "stranded_rooms": None,
            "spend": {},
            "burn_per_hour": {},
            "count_meaning": None,
        }
    ]


async def test_a_removed_project_is_no_longer_listed():
    daemon = running(orphan(1), projects=("prod", "test"))
    daemon.board.remove("prod")
    daemon.projects = ("test",)
    assert [p["name"] for p in (await daemon.get("/api/v1/projects")).json()] == ["test"]
    assert len((await daemon.get("/api/v1/rooms")).json()) == 1


async def test_answers_have_the_shape_that_openapi_promises():
    from watchdog.expose.schemas import Liveness, OrphanedRoom, Project, Readiness

    daemon = running(orphan(1))
    document = (await daemon.get("/openapi.json")).json()
    assert set(document["paths"]) == {
        "/metrics",
        "/healthz",
        "/readyz",
        "/api/v1/projects",
        "/api/v1/rooms",
        "/api/v1/suspects",
        "/webhooks/livekit/{project}",
    }
    for path, model in (("/api/v1/rooms", OrphanedRoom), ("/api/v1/projects", Project)):
        for item in (await daemon.get(path)).json():
            assert model.model_validate(item, extra="forbid").model_dump() == item
    for path, model in (("/healthz", Liveness), ("/readyz", Readiness)):
        model.model_validate((await daemon.get(path)).json(), extra="forbid")


async def test_suspects_are_shown_as_the_privacy_of_names_allows():
    from watchdog.core.records import Suspect

    suspect = Suspect("odd-<b>room", "RM_1", "silent", at(0))
    daemon = running()
    daemon.tick(report(2, project=daemon.projects[0], suspects=(suspect,)))
    [told] = (await daemon.get("/api/v1/suspects")).json()
    assert (told["room_name"], told["reason"]) == ("odd-<b>room", "silent")
    page = (await daemon.get("/")).text
    assert "odd-&lt;b&gt;room" in page
    assert "Suspect rooms, never deleted" in page


async def test_nothing_can_be_changed_over_http():
    daemon = running(orphan(1))
    app = daemon.app()
    for route in app.routes:
        methods = route.methods if isinstance(route, APIRoute) else getattr(route, "methods", set())
        if (
            route.path != "/webhooks/livekit/{project}"
        ):  # signed, and told nothing but what happened
            assert methods <= {"GET", "HEAD"}, route
    paths = ["/", "/metrics", "/healthz", "/readyz", "/api/v1/projects", "/api/v1/rooms"]
    async with daemon.client() as client:
        for path in paths:
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                assert (await client.request(method, path)).status_code == 405
            assert (await client.head(path)).status_code == 200


class Page(HTMLParser):
    """Which elements stand in the page, and its text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.said, self.attributes = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.links += [v for name, v in attrs if name in {"href", "src"}]

    def handle_data(self, data):
        self.said.append(data)


async def test_the_page_lists_projects_and_rooms_and_links_what_else_there_is():
    answer = await running(orphan(1, room="call-77", age=200)).get("/")
    page = Page(answer.text)
    said = " ".join(page.said)
    for text in ("prod", "call-77", "support", "3m 20s", "$0.0123 to $0.02", "nobody else"):
        assert text in said
    assert {"/metrics", "/healthz", "/readyz", "/openapi.json"} <= set(page.links)


async def test_the_page_loads_nothing_from_elsewhere_and_runs_no_script():
    answer = await running(orphan(1)).get("/")
    page = Page(answer.text)
    assert not {"script", "img", "link", "iframe", "form"} & set(page.tags)
    assert all(link.startswith("/") for link in page.links)
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


async def test_the_policy_allows_just_the_page_s_own_style():
    import base64
    import hashlib
    import re

    answer = await running().get("/")
    style = re.search("<style>(.*?)</style>", answer.text, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/metrics", "/readyz", "/api/v1/rooms", "/nowhere"])
async def test_every_answer_is_marked_safe(path):
    headers = (await running().get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.trap("T45")
async def test_t45_no_name_breaks_out_of_the_page():
    plain = Page((await running(*(orphan(i, room="x") for i in range(len(NASTY)))).get("/")).text)
    nasty = tuple(
        orphan(i, room=text, agent=text, reason=text, age=float(i)) for i, text in enumerate(NASTY)
    )
    daemon = running(*nasty)
    daemon.board.take(failed(2, error="".join(NASTY), last_success_at=at(15)))
    answer = await daemon.get("/")
    page = Page(answer.text)
    assert [t for t in page.tags if t != "br"] == plain.tags
    assert set(page.attributes) == set(plain.attributes)
    assert html.escape(RoomNames().label(NASTY[6])) in answer.text
    assert not any(not c.isprintable() and c != "\n" for c in answer.text)


@pytest.mark.trap("T45")
async def test_t45_every_name_reaches_a_json_reader_whole():
    names = [text for text in NASTY if "\ud800" not in text]
    daemon = running(*(orphan(i, room=text, age=-float(i)) for i, text in enumerate(names)))
    rooms = (await daemon.get("/api/v1/rooms")).json()
    assert [r["episode"]["room_name"] for r in rooms] == names


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/v1/rooms", "/api/v1/projects", "/readyz"])
async def test_phone_numbers_in_room_names_are_hidden_where_the_operator_says_so(path):
    daemon = running(orphan(1, room="call-+4917612345678"), room_names=RoomNames("masked"))
    assert "17612345" not in (await daemon.get(path)).text


async def test_an_unpriced_agent_costs_unpriced_and_not_zero():
    daemon = running(orphan(1, spend=usd("0")), unpriced=("support",))
    assert "unpriced" in (await daemon.get("/")).text
    assert (await daemon.get("/api/v1/rooms")).json()[0]["spend_is_complete"] is False


async def test_the_page_stays_light_with_thousands_of_rooms():
    daemon = running(*(orphan(i, room=f"r{i}") for i in range(5000)))
    answer = await daemon.get("/")
    assert Page(answer.text).tags.count("tr") == 1 + 1 + 1 + 200
    assert "and 4800 more" in answer.text
