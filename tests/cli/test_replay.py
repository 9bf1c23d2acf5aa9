"""`replay`, on a database that a daemon has written."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tests.store.builders import closed, episode, tick
from watchdog.core.model import CloseReason
from watchdog.core.records import TickRecord
from watchdog.store.database import open_database
from watchdog.store.episodes import EpisodeStore

POLICIES = """
[[policies]]
name = "hasty"
grace = "60s"
respect_room_timeouts = false
"""


@pytest.fixture
def remembered(program):
    """An hour ago an episode ended after ten minutes, since a person had come back."""
    now = datetime.now(UTC)
    by = now - timedelta(hours=1) - episode().bounds.first_orphaned_at

    async def write() -> None:
        from dataclasses import replace

        from watchdog.core.episodes import shift_episode

        one = shift_episode(closed(episode(project="default"), 300), by)
        one = replace(one, close_reason=CloseReason.PERSON_RETURNED, watched_at_close=342.5)
        last: TickRecord = replace(
            tick(9, project="default"), at=now, watched_seconds=900.0, blind_seconds=100.0
        )
        address = f"sqlite+aiosqlite:///{program.directory / 'watchdog.db'}"
        async with await open_database(address) as database:
            await EpisodeStore(database).commit(last, [one], {})

    asyncio.run(write())
    return program


def test_it_says_what_would_have_been_done_whom_it_would_have_hurt_and_what_was_not_seen(
    remembered,
):
    file = remembered.directory / "other.toml"
    file.write_text(POLICIES)
    said = remembered("replay", str(file))
    assert said.code == 0, said.err
    for part in ("hasty", "call-E1", "1 would have been deleted", "came back within 5 minutes"):
        assert part in said.out
    assert "To 1 of them" in said.out
    assert "10.0%" in said.out
    told = remembered("replay", str(file), "--json").json
    assert (told["would_delete"], told["would_have_hurt"]) == (1, 1)
    assert told["projects"]["default"]["blind_share"] == pytest.approx(0.1)
    assert told["episodes"][0]["policy"] == "hasty"

    # With the policies that are configured nothing would have been done.
    assert remembered("replay", "--json").json["would_delete"] == 0
    assert remembered("replay", str(file), "--since", "30m", "--json").json["episodes"] == []


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--since", "soon"), "--since"),
        (("--project", "other"), "'other' is no configured project"),
        (("missing.toml",), "missing.toml"),
    ],
)
def test_what_it_cannot_work_with_is_one_sentence(remembered, arguments, part):
    said = remembered("replay", *arguments)
    assert said.code == 2
    assert part in said.err
    assert len(said.err.splitlines()) == 1


def test_check_config_names_the_backlog_of_a_mode_that_deletes_more(program):
    now = datetime.now(UTC)
    by = now - timedelta(hours=1) - episode().bounds.first_orphaned_at

    async def write() -> None:
        from dataclasses import replace

        from watchdog.core.episodes import shift_episode
        from watchdog.core.gatenotes import GateNotes

        one = replace(shift_episode(episode(project="default"), by), person_seen=True)
        last = replace(
            tick(9, project="default"),
            at=now,
            watched_seconds=4000.0,
            gates=GateNotes(mode="observe"),
        )
        address = f"sqlite+aiosqlite:///{program.directory / 'watchdog.db'}"
        async with await open_database(address) as database:
            await EpisodeStore(database).commit(last, [one], {})

    asyncio.run(write())
    assert "backlog" not in program("check-config").out
    (program.directory / "watchdog.toml").write_text('mode = "enforce"\n')
    said = program("check-config")
    assert "1 room is past its threshold and would go: call-E1" in said.out
    [project] = program("check-config", "--json").json["projects"]
    assert [room["episode"]["room_name"] for room in project["backlog"]] == ["call-E1"]


def test_rooms_names_the_suspects_that_the_last_tick_had(remembered):
    from dataclasses import replace

    from watchdog.core.records import Suspect

    async def write() -> None:
        last = replace(
            tick(10, project="default"),
            at=datetime.now(UTC),
            suspects=(Suspect("odd-1", "RM_1", "silent", datetime.now(UTC)),),
        )
        address = f"sqlite+aiosqlite:///{remembered.directory / 'watchdog.db'}"
        async with await open_database(address) as database:
            await EpisodeStore(database).commit(last, [], {})

    asyncio.run(write())
    assert "default: suspect, never deleted: odd-1 (silent)" in remembered("rooms").out
    [suspect] = remembered("rooms", "--json").json["projects"]["default"]["suspects"]
    assert (suspect["room_name"], suspect["reason"]) == ("odd-1", "silent")
