"""A worker of the agents SDK whose sessions have no model: they join, listen and stay.

Where AGENT_DIARY names a file, it writes there what becomes of its sessions, and of what it is warned. In
the room that AGENT_HEEDS names it then leaves by itself, as docs/warn.md shows it.
"""

import json
import os
from pathlib import Path

from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, CloseEvent, JobContext, cli
from livekit.agents.voice.room_io import RoomOptions

AGENT = rtc.ParticipantKind.PARTICIPANT_KIND_AGENT

server = AgentServer(
    num_idle_processes=1,
    initialize_process_timeout=60,
    # A worker on a busy machine must not refuse its job, nor claim a fixed port.
    load_threshold=float("inf"),
    host="127.0.0.1",
    port=0,
)


def note(what: str) -> None:
    if diary := os.environ.get("AGENT_DIARY"):
        with Path(diary).open("a") as file:
            file.write(f"{what}\n")


async def ended(context: JobContext) -> None:
    note(f"on_session_end {context.room.name}")


@server.rtc_session(agent_name=os.environ.get("AGENT_NAME", ""), on_session_end=ended)
async def entrypoint(context: JobContext) -> None:
    session = AgentSession()

    heeds = context.room.name == os.environ.get("AGENT_HEEDS")

    @context.room.on("data_received")
    def on_warning(packet: rtc.DataPacket) -> None:
        if packet.topic != "lk.watchdog" or packet.participant is not None:
            return
        warning = json.loads(packet.data)
        note(f"warned {warning['type']} {warning['room']} {warning['in_seconds']}")
        people = [p for p in context.room.remote_participants.values() if p.kind != AGENT]
        if warning["type"] == "room_will_be_deleted" and not people and heeds:
            context.shutdown(reason=warning["why"])

    @session.on("close")
    def closed(event: CloseEvent) -> None:
        note(f"closed {context.room.name}")

    await session.start(
        agent=Agent(instructions="Say nothing."),
        room=context.room,
        room_options=RoomOptions(close_on_disconnect=not os.environ.get("AGENT_STAYS")),
    )


if __name__ == "__main__":
    cli.run_app(server)
