"""Files that change while a reload is under way, or are being written, are read as they then are."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from pathlib import Path

from watchdog.reloading import Changes, reloaded

EVERY = 0.02


class Reader:
    """Reads a file as a reload does; something can happen meanwhile."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.read: list[str] = []
        self.meanwhile = lambda: None

    async def reload(self) -> Changes:
        text = self.file.read_text()
        what, self.meanwhile = self.meanwhile, lambda: None
        await asyncio.sleep(0)
        what()
        self.read.append(text)
        return Changes()

    async def until(self, text: str) -> None:
        async with asyncio.timeout(60):
            while not self.read or self.read[-1] != text:
                await asyncio.sleep(EVERY)


@asynccontextmanager
async def reading(file: Path):
    reader = Reader(file)
    async with reloaded(reader.reload, lambda: (file,), lambda at, *, ok: None, every=EVERY):
        yield reader


async def test_a_file_that_changes_while_it_is_taken_up_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "watchdog.toml"
    file.write_text("one")
    async with reading(file) as reader:
        await reader.until("one")
        reader.meanwhile = lambda: file.write_text("three, and longer")
        file.write_text("two, longer")
        await reader.until("three, and longer")
        assert "two, longer" in reader.read


async def test_a_file_that_stays_as_it_is_is_read_once(tmp_path: Path) -> None:
    file = tmp_path / "watchdog.toml"
    file.write_text("one")
    async with reading(file) as reader:
        await reader.until("one")
        await asyncio.sleep(20 * EVERY)
        assert reader.read == ["one"]


async def test_a_hangup_after_the_daemon_was_told_to_stop_does_not_end_it(tmp_path: Path) -> None:
    (file := tmp_path / "file").write_text("as it is")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as a run has it from its beginning
    try:
        async with reading(file):
            pass
        os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
