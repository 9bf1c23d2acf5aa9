"""livekit-api to our types and errors: deadlines, hints, and what never happens."""

from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from livekit.protocol.models import ParticipantInfo, Room

from watchdog.clocks import SystemClock
from watchdog.core.budget import Purpose, TokenBucket
from watchdog.core.errors import (
    CODES,
    BadAnswer,
    CredentialsRejected,
    NotSent,
    PermissionMissing,
    RateLimited,
    RequestTimedOut,
    RoomServiceError,
    RoomUnreachable,
    ServerUnavailable,
    WrongEndpoint,
)
from watchdog.core.model import RoomSnapshot
from watchdog.rooms.gateway import LiveKitGateway, is_cloud, translate
from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.faults import Fault, FaultKind, FaultPlan
from watchdog.simulator.rooms import Ghost
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World

KEY, SECRET = "devkey", "a-secret-of-more-than-thirty-two-characters"


class Bench:
    """A gateway on a simulator, and what it observed."""

    def __init__(self, clock, *, secret=SECRET, url="http://simulator.invalid", cloud=False):
        self.clock = clock
        self.world = World(clock)
        self.faults = FaultPlan()
        self.simulator = RoomServiceSimulator(self.world, {KEY: SECRET}, self.faults)
        self.bucket = TokenBucket(per_minute=0.01)  # it refills by nothing worth counting
        self.observed: list[tuple[str, str, Purpose]] = []
        self.gateway = LiveKitGateway(
            SimulatorApi(self.simulator, KEY, secret, url=url, failover=cloud),
            clock=clock,
            bucket=self.bucket,
            observe=lambda method, code, purpose, _: self.observed.append((method, code, purpose)),
            cloud=cloud,
        )


@pytest.fixture
def bench(clock):
    return Bench(clock)


EXPECTED = {
    FaultKind.HANG: RequestTimedOut,
    FaultKind.ERROR_500: ServerUnavailable,
    FaultKind.ERROR_503: RoomUnreachable,
    FaultKind.TIMEOUT_408: RequestTimedOut,
    FaultKind.RATE_LIMIT_429: RateLimited,
    FaultKind.UNAUTHORIZED_401: CredentialsRejected,
    FaultKind.GARBAGE: BadAnswer,
}


@pytest.mark.parametrize("kind", EXPECTED)
async def test_every_fault_becomes_one_of_our_errors_measured_and_drawn_from_the_budget(
    bench, kind
):
    bench.faults.add(Fault(kind))
    with pytest.raises(RoomServiceError) as caught:
        await bench.gateway.list_rooms()
    error = caught.value
    assert type(error) is EXPECTED[kind]
    assert error.hint, "the operator is told a cure"
    assert error.code in CODES
    assert bench.observed == [("ListRooms", error.code, Purpose.LIST)]
    left = bench.bucket.available(bench.clock.monotonic())
    assert left == pytest.approx(bench.bucket.burst - 1, abs=0.1)
    assert SECRET not in str(error)


@pytest.mark.trap("T01")
async def test_t01_every_call_has_a_deadline(bench):
    room = RoomSnapshot("RM_1", "r", bench.clock.now())
    bench.faults.add(Fault(FaultKind.HANG))
    for call, deadline in (
        (bench.gateway.list_rooms, 10),
        (lambda: bench.gateway.look(room, Purpose.SWEEP), 5),
        (lambda: bench.gateway.probe("r"), 8),
        (lambda: bench.gateway.warn("r", ["agent-1"], b""), 5),
        (lambda: bench.gateway.dispatches("r"), 5),
        (lambda: bench.gateway.end_dispatch("r", "AD_1", within=1.0), 5),
    ):
        started = bench.clock.monotonic()
        with pytest.raises(RequestTimedOut, match=f"no answer within {deadline} s"):
            await call()
        assert bench.clock.monotonic() - started == deadline


async def test_a_message_to_nobody_is_not_sent_since_it_would_go_to_everybody(bench):
    bench.world.join("r", "alice")
    with pytest.raises(NotSent):
        await bench.gateway.warn("r", [], b"")
    assert not bench.simulator.log


@pytest.mark.trap("T35")
@pytest.mark.parametrize("kind", [FaultKind.ERROR_500, FaultKind.ERROR_503])
async def test_t35_no_message_and_no_end_of_a_dispatch_is_sent_a_second_time(clock, kind):
    bench = Bench(clock, url="http://project.livekit.cloud", cloud=True)
    agent = bench.world.join_agent("r", "coach")
    [_, dispatch] = await bench.gateway.dispatches("r")
    assert dispatch.identities == {agent.identity}
    bench.faults.add(Fault(kind))
    bench.simulator.log.clear()
    with pytest.raises(ServerUnavailable):
        await bench.gateway.warn("r", [agent.identity], b"")
    with pytest.raises(ServerUnavailable):
        await bench.gateway.end_dispatch("r", dispatch.id, within=1.0)
    assert [r.method for r in bench.simulator.log] == ["SendData", "DeleteDispatch"]


@pytest.mark.trap("T32")
async def test_t32_a_wrong_secret_is_credentials_rejected_with_its_hint(clock):
    bench = Bench(clock, secret="another-secret-of-more-than-thirty-two-chars")
    with pytest.raises(
        CredentialsRejected, match="not valid for this project, or this machine's clock"
    ):
        await bench.gateway.list_rooms()


@pytest.mark.trap("T35")
async def test_t35_three_slow_regions_of_cloud_fit_into_the_deadline(clock):
    bench = Bench(clock, url="http://project.livekit.cloud", cloud=True)
    bench.world.create_room("r", empty_timeout=3600)
    bench.faults.add(Fault(FaultKind.DELAY, amount=6.0))
    bench.faults.add(Fault(FaultKind.ERROR_503, nth=1))
    bench.faults.add(Fault(FaultKind.ERROR_500, nth=2))
    listing = await bench.gateway.list_rooms()
    assert [room.name for room in listing.rooms.values()] == ["r"]
    assert bench.clock.monotonic() <= bench.gateway.list_deadline
    assert len(bench.simulator.log) >= 3, "the SDK tried again"


@pytest.mark.trap("T35")
def test_t35_only_cloud_urls_are_taken_for_cloud():
    assert is_cloud("wss://my-project.livekit.cloud")
    assert not is_cloud("wss://livekit.example.com")
    assert not is_cloud("wss://livekit.cloud.example.com")


@pytest.mark.rule("A10")
@pytest.mark.parametrize("how", list(Ghost))
async def test_a10_a_dead_node_is_told_from_other_failures(bench, how):
    bench.world.create_room("r", empty_timeout=3600)
    bench.world.strand("r", how)
    with pytest.raises(RoomUnreachable):
        await bench.gateway.probe("r")


def test_a_page_that_is_no_livekit_is_a_wrong_endpoint():
    from livekit.api import ServerError

    error = translate("ListRooms", ServerError("unknown", "", status=404), 10)
    assert type(error) is WrongEndpoint
    assert "check host and path" in str(error)


def test_a_missing_grant_is_not_a_bad_key():
    from livekit.api import ServerError

    denied = ServerError("unauthenticated", "permissions denied", status=401)
    assert type(translate("ListRooms", denied, 10)) is PermissionMissing


async def test_a_list_lends_the_snapshots_of_rooms_that_have_not_changed(bench):
    for name in ("steady", "changing"):
        bench.world.create_room(name, empty_timeout=3600)
    first = await bench.gateway.list_rooms()
    bench.world.join("changing", "alice")
    second = await bench.gateway.list_rooms(first.rooms)
    by_name = {r.name: (first.rooms[sid] is r) for sid, r in second.rooms.items()}
    assert by_name == {"steady": True, "changing": False}


@pytest.mark.trap("T11")
async def test_t11_a_kind_newer_than_the_sdk_is_kept_by_its_number(bench):
    bench.world.create_room("r", empty_timeout=3600)
    bench.world.join("r", "future", kind=9)
    listing = await bench.gateway.list_rooms()
    look = await bench.gateway.look(next(iter(listing.rooms.values())), Purpose.SWEEP)
    assert [p.kind for p in look.participants] == ["KIND_9"]


@pytest.mark.trap("T41")
async def test_t41_reading_attributes_adds_none(bench):
    info = ParticipantInfo(identity="a")
    assert info.attributes.get("lk.agent_name") is None
    assert not info.attributes


async def test_a_time_no_calendar_holds_is_a_time_not_told(bench):
    from watchdog.rooms.gateway import EPOCH, _room

    room = _room(Room(sid="RM", name="r", creation_time_ms=2**62), None, "watchdog.hold")
    assert room.created_at == EPOCH


@asynccontextmanager
async def counting_server():
    """A server that answers everything with an empty body, and the requests it got."""
    got: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        got.append(request.path.rsplit("/", 1)[-1])
        return web.Response(body=b"", content_type="application/protobuf")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", got
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("connected_before", [True, False])
async def test_a_delete_that_is_late_by_the_time_there_is_a_connection_is_not_sent(
    connected_before,
):
    async with counting_server() as (url, got):
        gateway = LiveKitGateway.connect(
            url, "devkey", "s" * 32, clock=SystemClock(), bucket=TokenBucket(1000.0)
        )
        try:
            if connected_before:
                await gateway.list_rooms()
            with pytest.raises(NotSent, match="too late; not sent"):
                await gateway.delete("r", within=0.0)
            await gateway.delete("r", within=5.0)
        finally:
            await gateway.aclose()
        assert got.count("DeleteRoom") == 1
