"""How wide the race is that no look can close: from the last look at a room to the end of its DeleteRoom.

Runs against a real livekit-server on loopback: `.venv/bin/python -m benchmarks.race_window`. The first
number bounds the window from above (a join that falls into it can be cut off); an ordinary network adds one
way of the first answer and one of the request.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from tests.contract.backends import RealBackend
from tests.realserver import find_server, running_server
from watchdog.clocks import SystemClock
from watchdog.core.budget import Purpose, TokenBucket
from watchdog.core.classify import NO_RULES
from watchdog.core.deletion import Outcome
from watchdog.core.model import Look, RoomSnapshot
from watchdog.core.steady import SteadyClock
from watchdog.daemon.recheck import Recheck, delete_if_still_alone
from watchdog.rooms.gateway import LiveKitGateway

ROOMS = 30


async def nothing_said() -> str:
    """Nobody has taken anything back."""
    return ""


class Timed(LiveKitGateway):
    """Notes when the last look was asked and answered, and when DeleteRoom was answered."""

    asked = answered = deleted = 0.0

    async def look(self, room: RoomSnapshot, purpose: Purpose) -> Look:
        """Who is in the room, timed."""
        self.asked = time.perf_counter()
        look = await super().look(room, purpose)
        self.answered = time.perf_counter()
        return look

    async def delete(self, room_name: str, *, within: float) -> None:
        """Delete the room, timed."""
        await super().delete(room_name, within=within)
        self.deleted = time.perf_counter()


async def measure() -> None:
    """Delete rooms one by one, as the daemon does."""
    binary = find_server()
    if binary is None:
        sys.exit("no livekit-server found")
    async with AsyncExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(running_server(binary, directory))
        backend = RealBackend(stack, server)
        for number in range(ROOMS):
            await backend.join(f"race-{number}", "agent", kind="agent", agent=True)
        clock = SteadyClock(SystemClock())
        gateway = Timed.connect(
            server.url, server.key, server.secret, clock=clock, bucket=TokenBucket(100_000, 100_000)
        )
        widths, whole = [], []
        for room in (await gateway.list_rooms(purpose=Purpose.LIST)).rooms.values():
            case = Recheck(
                room,
                explained=lambda _: 10,
                protected=lambda *_: None,
                still_wanted=nothing_said,
                still_allowed=lambda: "",
            )
            found = await delete_if_still_alone(gateway, clock, NO_RULES, case)
            if found.outcome is not Outcome.DELETED:
                raise RuntimeError(found.why)
            widths.append(1000 * (gateway.deleted - gateway.answered))
            whole.append(1000 * (gateway.deleted - gateway.asked))
        await gateway.aclose()
    for name, values in (("answer to end", widths), ("question to end", whole)):
        print(
            f"{name}: median {statistics.median(values):.1f} ms, most {max(values):.1f} ms, "
            f"{len(values)} rooms"
        )


if __name__ == "__main__":
    asyncio.run(measure())
