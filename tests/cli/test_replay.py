"""`replay` and the backlog of `check-config`, over a database that a daemon would have left."""

import asyncio
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.program import SECRET, Program, Terminal
from tests.store.builders import START, agent, at, closed, episode, seen_at, tick
from watchdog.core.gatenotes import GateNotes
from watchdog.core.model import CloseReason
from watchdog.store.database import open_database
from watchdog.store.episodes import EpisodeStore

QUICK = """
[[policies]]
name = "quick"
match = { rooms = ["call-*"] }
grace = "90s"
respect_room_timeouts = false
"""


@pytest.fixture
def told(bare) -> Program:
    """The program, told of a project that nobody asks anything."""
    return bare.with_(
        LIVEKIT_URL="wss://eu.livekit.cloud", LIVEKIT_API_KEY="APIabc", LIVEKIT_API_SECRET=SECRET
    )


def one(key: str, since: float = 0, ended: float | None = None, reason="room_gone", **more):
    """An episode of the project `default`; without an end it is still open."""
    name = more.pop("room_name", f"call-{key}")
    agents = (agent(1, since=since, seen=ended or since),)
    made = episode(key, project="default", since=since, room_name=name, agents=agents)
    made = replace(made, watched_at_open=since, person_seen=True, **more)
    if ended is None:
        return made
    made = closed(seen_at(made, ended), ended)
    return replace(made, watched_at_close=ended, close_reason=CloseReason(reason))


HISTORY = (
    one("long", 0, 4000),
    one("back", 100, 300, "person_returned"),
    one("short", 200, 260),
    one("transfer", 300, 5000, room_name="x-human-agent"),
    one("open", 6000),
)


def stored(program: Program, *episodes, seen: float = 7000, blind: float = 0.0, mode=None) -> None:
    """Leave this history behind, and a last tick that has seen every open room."""
    record = replace(
        tick(400, project="default"),
        at=at(seen),
        watched_seconds=seen - blind,
        blind_seconds=blind,
        seen={e.id: at(seen) for e in episodes if e.is_open},
        gates=GateNotes(mode=mode),
    )

    async def write() -> None:
        url = f"sqlite+aiosqlite:///{program.directory / 'watchdog.db'}"
        async with await open_database(url) as database:
            await EpisodeStore(database).commit(record, episodes, {})

    asyncio.run(write())


def policy_file(program: Program, text: str = QUICK) -> str:
    (program.directory / "other.toml").write_text(text)
    return "other.toml"


# ---- replay ----------------------------------------------------------------------------------------


def test_replay_says_what_another_policy_would_have_done(told):
    stored(told, *HISTORY)
    result = told("replay", policy_file(told))
    assert (result.code, result.err) == (0, "")
    for part in (
        "policies: transfer, quick, phone, never-attended, default (other.toml)",
        "default: 5 episodes stored",
        "would have been deleted: 3 (quick 3)",
        "would have hurt:         1 (a person was back within 5m 00s)",
        "would have warned:       1",
        "a person came back, 1m 05s later: WOULD HAVE HURT",
        "still open, ",
        "blind:                   0.0 % of the time since the first tick",
        "The history cannot tell of holds, recordings, the allow-list,",
    ):
        assert part in result.out
    assert "call-short" not in result.out


def test_replay_as_json_is_complete(told):
    stored(told, *HISTORY, blind=700)
    result = told("replay", policy_file(told), "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json["policy_file"] == "other.toml"
    [project] = result.json["projects"]
    counts = ("considered", "acted_on", "would_have_hurt", "would_have_warned", "protected")
    assert [project[key] for key in counts] == [5, 3, 1, 1, 0]
    assert project["by_policy"] == {"quick": 3}
    assert project["sight"]["blind_share"] == 0.1
    rows = {row["episode"]["room_name"]: row for row in project["episodes"]}
    assert list(rows) == ["call-long", "call-back", "x-human-agent", "call-open"]
    long = rows["call-long"]
    assert (long["fate"], long["policy"], long["due_age_seconds"]) == ("acted_on", "quick", 90)
    moment = datetime.fromisoformat(long["moment"])
    assert abs(moment - START - timedelta(seconds=90 + 30 + 15)) < timedelta(milliseconds=1)
    assert float(long["further_cost"]["low_usd"]) > 0
    assert long["further_cost_is_complete"] is True
    assert rows["x-human-agent"]["fate"] == "warned"


def test_without_a_file_the_configured_policies_are_applied(told):
    stored(told, *HISTORY)
    [project] = told("replay", "--json").json["projects"]
    assert [row["fate"] for row in project["episodes"]] == ["acted_on", "warned", "acted_on"]
    assert project["by_policy"] == {"default": 2}
    (told.directory / "watchdog.toml").write_text(QUICK)
    assert told("replay", "--json").json["projects"][0]["by_policy"] == {"quick": 3}


def test_rooms_that_the_file_protects_are_named_and_not_acted_on(told):
    stored(told, *HISTORY)
    given = policy_file(told, QUICK + '[protect]\nrooms = ["*-long"]\n')
    result = told("replay", given)
    assert "'*-long' is on the protect list" in result.out
    assert "would have been deleted: 2 (quick 2)" in result.out
    (told.directory / "watchdog.toml").write_text('[protect]\nrooms = ["call-*"]\n')
    assert "would have been deleted: 0\n" in told("replay", policy_file(told)).out


def test_since_leaves_out_what_was_over_by_then(told):
    now = (datetime.now(UTC) - START).total_seconds()
    stored(told, one("old", 0, 4000), one("new", now - 7200, now - 3600), seen=now)
    for since, names in (
        ("7d", ["call-new"]),
        ("1000d", ["call-old", "call-new"]),
        ("2026-03-01T13:00:00Z", ["call-old", "call-new"]),
        ("2026-03-02", ["call-new"]),
        ("10m", []),
    ):
        found = told("replay", policy_file(told), "--since", since, "--json").json["projects"][0]
        assert [row["episode"]["room_name"] for row in found["episodes"]] == names, since


def test_without_a_price_the_cost_is_unpriced_and_not_zero(told):
    stored(told, *HISTORY)
    unpriced = told.with_(WATCHDOG_PRICES__PLAN="build")
    result = unpriced("replay", policy_file(told))
    assert "which went on to cost:   unpriced" in result.out
    assert "$0" not in result.out
    row = unpriced("replay", policy_file(told), "--json").json["projects"][0]["episodes"][0]
    assert (row["further_cost"], row["further_cost_is_complete"]) == (None, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere.toml",), "nowhere.toml: the policy file does not exist; check the path"),
        (("--project", "prod"), "'prod' is no configured project; they are: default"),
        (("--since", "yesterday"), "--since 'yesterday' is no time; write 7d, 12h, or an ISO time"),
    ],
)
def test_what_cannot_be_asked_for_is_said(told, arguments, said):
    result = told("replay", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_a_policy_file_is_judged_as_the_configuration_is(told):
    stored(told, *HISTORY)
    wrong = '[[policies]]\nname = "x"\ngrace = "5s"\nhard_limits = 3\n[protect]\nrooms = [""]\n'
    result = told("replay", policy_file(told, wrong))
    assert (result.code, result.out) == (2, "")
    (told.directory / "watchdog.toml").write_text(wrong)
    as_configured = told("replay")
    assert result.err.replace("other.toml", "watchdog.toml") == as_configured.err
    assert "hard_limits" in result.err


def test_replay_without_a_database_says_the_cure(told):
    result = told("replay")
    assert result.code == 1
    assert "start `livekit-watchdog run` first" in result.err


def test_a_table_can_be_read_in_80_columns(told):
    stored(told, *HISTORY, one("\x1b[2J", 7000, 9000, room_name="call-\x1b[2J"), seen=9000)
    with closing(Terminal(told, "replay", policy_file(told), columns=80)) as terminal:
        assert terminal.read_to_end() == 0
        lines = terminal.text.replace("\r", "").splitlines()
    table = lines[lines.index("") + 1 : [line[:10] for line in lines].index("would have")]
    assert max(map(len, table)) <= 80
    assert any(line.startswith("call-long  ") for line in table)
    assert "\x1b[2J" not in "".join(table)


# ---- the backlog of a mode that deletes more -------------------------------------------------------


def test_check_config_says_what_a_new_mode_would_act_on_at_once(told):
    kept = one("x", 10, room_name="x-human-agent")
    stored(told, one("old", 0), one("new", 6950), kept, mode="observe")
    (told.directory / "watchdog.toml").write_text(QUICK)
    enforcing = told.with_(WATCHDOG_MODE="enforce")
    result = enforcing("check-config")
    assert (result.code, result.err) == (0, "")
    assert (
        "  backlog: 1 room would be acted on at once: call-old (alone for 1h 56m, policy quick) "
        "(the last tick was in mode observe)\n"
    ) in result.out
    [project] = enforcing("check-config", "--json").json["projects"]
    assert project["backlog"]["mode_before"] == "observe"
    assert [room["room_name"] for room in project["backlog"]["rooms"]] == ["call-old"]
    hidden = enforcing.with_(WATCHDOG_PRIVACY__ROOM_NAMES="hashed")("check-config")
    assert "call-old" not in hidden.out


def test_check_config_leaves_out_what_the_new_mode_would_not_act_on(told):
    stored(told, one("a", 0), one("b", 0), mode="observe")
    (told.directory / "watchdog.toml").write_text(
        'mode = "allowlist"\n[allowlist]\nrooms = ["call-a"]\n' + QUICK
    )
    assert "1 room would be acted on at once: call-a (" in told("check-config").out
    protected = told.with_(WATCHDOG_PROTECT__ROOMS="call-*")("check-config")
    assert "backlog: 0 rooms would be acted on at once (" in protected.out


@pytest.mark.parametrize(
    ("before", "now"), [("observe", "observe"), ("enforce", "allowlist"), (None, "enforce")]
)
def test_check_config_says_nothing_of_a_mode_that_deletes_no_more(told, before, now):
    stored(told, one("old", 0), mode=before)
    there = told.with_(WATCHDOG_MODE=now)
    assert "backlog" not in there("check-config").out
    assert there("check-config", "--json").json["projects"][0]["backlog"] is None


def test_check_config_without_a_database_has_no_backlog(told):
    result = told.with_(WATCHDOG_MODE="enforce")("check-config")
    assert (result.code, result.err) == (0, "")
    assert "backlog" not in result.out
    assert not list(told.directory.iterdir())
