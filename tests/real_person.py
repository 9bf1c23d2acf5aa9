"""A person in a process of their own: joins, says "joined", leaves when standard input ends."""

import asyncio
import os
import sys

from livekit import rtc


async def main() -> None:
    room = rtc.Room()
    await room.connect(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"])
    print("joined", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await room.disconnect()


if __name__ == "__main__":
    asyncio.run(main())
