"""The simulated server of the benchmark, in a process of its own, and the line that tells it what to do.

Its rooms weigh on the wire what a real livekit-server's do. One process serves every client of a run; it
ends when its standard input does.
"""

import asyncio
import gc
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from livekit.protocol.room import ListParticipantsResponse

from watchdog.clocks import SystemClock
from watchdog.simulator.http import serve
from watchdog.simulator.service import RoomServiceSimulator
from watchdog.simulator.world import World

KEY, SECRET = "devkey", "a-secret-of-more-than-thirty-two-characters"
TIMEOUT = 1200
"""The rooms' timeouts in seconds: nothing closes while it is measured."""
ORPHANED = 20
"""One room of so many holds an agent and no person."""
AGENTS = 12
"""So many names agents have."""


class Company:
    """Calls in a world: in each a person and an agent, but for those whose person has left."""

    def __init__(self) -> None:
        self.world = World(SystemClock())
        self.calls: Counter[str] = Counter()
        self.simulator = RoomServiceSimulator(
            self.world, {KEY: SECRET}, log_size=1, watch=self._watch
        )
        self._begun = 0
        self._turn = 0

    def _watch(self, phase: str, method: str, _: str) -> None:
        self.calls[method] += phase == "received"

    def grow(self, rooms: int) -> None:
        """Have at least so many rooms."""
        while len(self.world.frames) < rooms:
            self._begin(orphaned=self._begun % ORPHANED == 0)

    def churn(self, share: float) -> int:
        """Change so many of the rooms; returns how many.

        Of two, one call ends and another begins, and in the other one more person comes, or goes again.
        """
        names = [name for name in self.world.frames if int(name[5:]) % ORPHANED]
        changing = names[self._turn % 7 :: max(1, round(len(names) / (share * len(names))))]
        self._turn += 1
        for number, name in enumerate(changing):
            if number % 2:
                self.world.delete_room(name)
                self._begin(orphaned=False)
            elif "guest" in self.world.room(name).participants:
                self.world.leave(name, "guest")
            else:
                self.world.join(name, "guest")
        return len(changing)

    def people(self, room: str) -> bytes:
        """A ListParticipants answer."""
        present = self.world.room(room).participants.values()
        infos = [p.info(self.world.skew) for p in present]
        return ListParticipantsResponse(participants=infos).SerializeToString()

    def _begin(self, *, orphaned: bool) -> None:
        number = self._begun
        self._begun += 1
        if not orphaned and number % ORPHANED == 0:
            number = self._begun
            self._begun += 1
        room = f"call-{number:07d}"
        metadata = json.dumps({"tenant": f"t-{number % 499:04d}", "locale": "en-US"})
        self.world.create_room(
            room, empty_timeout=TIMEOUT, departure_timeout=TIMEOUT, metadata=metadata
        )
        person = f"caller-{number:07d}"
        self.world.join(room, person)
        self.world.publish(room, person)
        self.world.join_agent(room, f"agent-{number % AGENTS}")
        if orphaned:
            self.world.leave(room, person)


class _Orders(asyncio.Protocol):
    """One line is one order, answered by the length of what follows, and that."""

    def __init__(self, company: Company) -> None:
        self._company = company
        self._left = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, self._left = (self._left + data).split(b"\n")
        for line in lines:
            answer = self._answer(*line.decode().partition(" ")[::2])
            self._transport.write(b"%d\n" % len(answer) + answer)  # type: ignore[attr-defined]

    def _answer(self, word: str, argument: str) -> bytes:
        if word == "grow":
            self._company.grow(int(argument))
            gc.freeze()  # what stays for good need not be walked while others are measured
            return b""
        if word == "churn":
            return str(self._company.churn(float(argument))).encode()
        if word == "calls":
            return json.dumps(self._company.calls).encode()
        return self._company.people(argument)


async def _main() -> None:
    company = Company()
    loop = asyncio.get_running_loop()
    control = await loop.create_server(lambda: _Orders(company), "127.0.0.1", 0)
    async with serve(company.simulator) as url:
        port = control.sockets[0].getsockname()[1]
        print(json.dumps({"url": url, "control": port}), flush=True)
        await asyncio.to_thread(sys.stdin.read)
        control.close()


@dataclass(frozen=True, slots=True)
class Server:
    """Where the simulated server listens."""

    url: str
    control: int


@contextmanager
def running_server() -> Iterator[Server]:
    """Start it; it has no rooms yet."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.scale.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield Server(**json.loads(process.stdout.readline()))
    finally:
        process.communicate(timeout=60)


class Control:
    """The line to it."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._file = self._socket.makefile("rb")

    def ask(self, order: str) -> bytes:
        """Give an order and wait for the answer; the calling thread waits, too."""
        self._socket.sendall(order.encode() + b"\n")
        return self._file.read(int(self._file.readline()))

    def calls(self) -> Counter[str]:
        """How many requests of each method came in so far."""
        return Counter(json.loads(self.ask("calls")))


if __name__ == "__main__":
    asyncio.run(_main())
