"""A worker of the agents SDK whose sessions have no model: they join, listen and stay."""

import os

from livekit.agents import Agent, AgentSession, JobContext, WorkerOptions, cli
from livekit.agents.voice.room_io import RoomOptions


async def entrypoint(context: JobContext) -> None:
    session = AgentSession()
    await session.start(
        agent=Agent(instructions="Say nothing."),
        room=context.room,
        room_options=RoomOptions(close_on_disconnect=not os.environ.get("AGENT_STAYS")),
    )


if __name__ == "__main__":
    cli.run_app(
        WorkerOptions(
            entrypoint_fnc=entrypoint,
            agent_name=os.environ.get("AGENT_NAME", ""),
            num_idle_processes=1,
            initialize_process_timeout=60,
            # A worker on a busy machine must not refuse its job, nor claim a fixed port.
            load_threshold=float("inf"),
            host="127.0.0.1",
            port=0,
        )
    )
