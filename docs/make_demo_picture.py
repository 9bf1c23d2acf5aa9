"""Draws docs/demo.svg: what `make demo` shows on a terminal after some seconds.

Run with `make picture`; the story is seeded, so only the times of day differ from run to run.
"""

import asyncio
import re
import secrets
import tempfile
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console

from watchdog.app import opened_daemon
from watchdog.clocks import ScaledClock
from watchdog.demo import DEMO_ROOMS, DEMO_SPEED, demo_settings, simulated
from watchdog.expose.terminal import DemoView

PICTURE = Path(__file__).with_name("demo.svg")
SECONDS = 8
# The library's own format loads a font from elsewhere; any monospaced one will do.
FORMAT = re.sub(r"@font-face\s*{{.*?}}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


async def main() -> None:
    """Run the demo without a terminal, and keep its last screen."""
    console = Console(record=True, file=StringIO(), force_terminal=True, width=112, height=32)
    clock, stop = ScaledClock(DEMO_SPEED), asyncio.Event()
    key, secret = "demo", secrets.token_hex(24)
    with tempfile.TemporaryDirectory() as scratch:
        async with simulated(clock, rooms=DEMO_ROOMS, seed=1, key=key, secret=secret) as url:
            settings = demo_settings(url, key, secret, Path(scratch))
            async with opened_daemon(settings, clock) as daemon:
                view = DemoView(
                    console,
                    project="default",
                    speed=DEMO_SPEED,
                    urls=["http://127.0.0.1:9779/metrics"],
                    unpriced=daemon.unpriced,
                )
                daemon.on_report = lambda report: view.update(report, clock.now())
                asyncio.get_running_loop().call_later(SECONDS, stop.set)
                await daemon.run(stop, speed=DEMO_SPEED)
    console.print(view.render())
    console.save_svg(str(PICTURE), title="livekit-watchdog demo", code_format=FORMAT)
    PICTURE.write_text("\n".join(line.rstrip() for line in PICTURE.read_text().splitlines()) + "\n")


if __name__ == "__main__":
    asyncio.run(main())
