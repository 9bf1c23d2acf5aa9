"""A world, its service, and the ordinary client and our gateway talking to it in process."""

import pytest

from watchdog.core.budget import TokenBucket
from watchdog.rooms.gateway import LiveKitGateway
from watchdog.simulator.api import SimulatorApi
from watchdog.simulator.clock import VirtualClock
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World

KEY, SECRET = "devkey", "a-secret-of-the-tests-0123456789abcdef"


@pytest.fixture
def world(clock: VirtualClock) -> World:
    """An empty world."""
    return World(clock)


@pytest.fixture
def simulator(world: World) -> RoomServiceSimulator:
    """Its Room Service, without faults so far."""
    return RoomServiceSimulator(world, {KEY: SECRET})


@pytest.fixture
def api(simulator: RoomServiceSimulator) -> SimulatorApi:
    """The SDK's own client code, in process."""
    return SimulatorApi(simulator, KEY, SECRET)


@pytest.fixture
def gateway(api: SimulatorApi, clock: VirtualClock) -> LiveKitGateway:
    """Our gateway on that client."""
    return LiveKitGateway(api, clock=clock, bucket=TokenBucket(per_minute=1000, burst=1000))
