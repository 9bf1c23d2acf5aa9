"""`report`: over what a daemon has really written, and as a command on a database."""

import asyncio
import csv
import io
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from threading import Thread

import pandas as pd
import pytest

from tests.cli.program import Program, Terminal
from tests.cli.test_replay import one, told
from tests.daemon.harness import Lab, lab
from tests.store.builders import LINE as STORED
from tests.store.builders import START, agent, at, tick
from watchdog.core.avoided import Avoidance, Basis
from watchdog.core.ledger import Correction, Postings
from watchdog.core.policy import built_in_policies, ordered
from watchdog.core.profiles import Choices, Tariffs, profile_of, resolve_tariff
from watchdog.core.spend import Spend
from watchdog.prices.book import load_book
from watchdog.reporting.causes import Cause
from watchdog.reporting.entries import Estimate
from watchdog.reporting.report import By
from watchdog.reporting.window import Window
from watchdog.spending import Books, Question, Spending, read_spending
from watchdog.store.database import open_database, open_for_reading
from watchdog.store.episodes import EpisodeStore
from watchdog.store.history import HistoryStore

POLL = 15
HOUR_OF_TICKS = 3600 // POLL
before, after = built_in_policies(POLL)
POLICIES = ordered(before, (), after)
STT, ASSEMBLY = "lk.inference.stt.deepgram-nova-3", "assemblyai.universal-streaming"
WEBRTC, SESSION, TAVUS = "lk.webrtc_participant", "lk.agent_session", "tavus.cvi.starter"

__all__ = ["told"]  # the fixture


def tariffs(hosting: str, choices: Choices, plan: str = "ship") -> Tariffs:
    profile = profile_of(hosting, choices)
    return Tariffs(resolve_tariff(load_book(), profile, plan, date(2026, 9, 1)))


# ---- a simulated hour ------------------------------------------------------------------------------


async def an_hour(there: Lab, *, avatar: bool = False) -> None:
    """A call whose person leaves; the agent, and its avatar, are alone for an hour of good looks."""
    await there.ticks(4)
    there.call("call-1")
    await there.ticks(2)
    there.world.leave("call-1", "alice")
    there.pass_time(POLL)
    if (
        avatar
    ):  # at the moment of the look that finds the orphan: its session's limit is an hour, too
        behalf = {"lk.publish_on_behalf": "agent-call-1-0"}
        there.world.join("call-1", "avatar", kind="AGENT", agent=True, attributes=behalf)
    report = await there.tick()
    assert [view.episode.room_name for view in report.orphans] == ["call-1"]
    await there.ticks(HOUR_OF_TICKS)


async def asked(there: Lab, question: Question = Question(Window())) -> Spending:  # noqa: B008
    books = Books({"p": there.tariffs}, {"p": POLICIES})
    return await read_spending(there.database, books, question, there.clock.now())


def by_meter(found: Spending) -> dict[str, Decimal]:
    return {m.meter: m.spend.low for m in found.report.meters if m.spend.low}


@pytest.mark.parametrize(
    ("hosting", "choices", "meters", "total"),
    [
        ("cloud-hosted", Choices(stt=STT), {SESSION: "0.60", STT: "0.288"}, "0.888"),
        ("self-hosted-on-cloud", Choices(stt="deepgram.nova-3"), {WEBRTC: "0.03"}, "0.03"),
        ("self-hosted-on-cloud", Choices(stt=ASSEMBLY), {WEBRTC: "0.03", ASSEMBLY: "0.15"}, "0.18"),
        (
            "self-hosted-on-cloud",
            Choices(avatar=TAVUS),
            {WEBRTC: "0.06", TAVUS: "22.20"},  # 0.03 + 0.03 for the avatar's own connection
            "22.26",
        ),
        ("self-hosted-everything", Choices(), {}, "0"),
    ],
)
async def test_the_worked_hours_come_out_to_the_cent(hosting, choices, meters, total):
    async with lab(tariffs=tariffs(hosting, choices)) as there:
        await an_hour(there, avatar=bool(choices.avatar))
        found = await asked(there)
        assert by_meter(found) == {meter: Decimal(usd) for meter, usd in meters.items()}
        assert found.report.totals.spend.low == Decimal(total)
        assert found.report.totals.orphaned_seconds == 3600
        assert found.report.totals.spend.high >= Decimal(total)
        coverage = found.coverage["p"]
        assert coverage is not None
        assert (coverage.blind, coverage.unseen) == (0, 0)


async def test_a_closed_hour_is_as_it_was_booked_whatever_prices_do_since():
    async with lab(tariffs=tariffs("cloud-hosted", Choices(stt=STT))) as there:
        await an_hour(there)
        there.world.join("call-1", "bob")
        await there.ticks(6)
        first = await asked(there)
        assert first.report.estimates == {Estimate.BOOKED: 1}
        assert first.report.totals.spend.low == Decimal("0.888")
        there.tariffs = tariffs("self-hosted-everything", Choices())
        assert (await asked(there)).report.totals == first.report.totals


async def test_a_window_that_cuts_the_hour_shares_it():
    async with lab(tariffs=tariffs("cloud-hosted", Choices(stt=STT))) as there:
        await an_hour(there)
        middle = there.clock.now() - timedelta(minutes=15)
        early = await asked(there, Question(Window(None, middle)))
        late = await asked(there, Question(Window(middle)))
        assert early.report.totals.spend.low == Decimal("0.666")
        assert late.report.totals.spend.low == Decimal("0.222")
        assert (early.report.totals.episodes, late.report.totals.episodes) == (1, 0)


async def test_under_plan_build_an_hour_uses_up_minutes_and_no_money():
    async with lab(tariffs=tariffs("cloud-hosted", Choices(), "build")) as there:
        await an_hour(there)
        found = await asked(there)
        assert found.report.totals.spend == Spend()
        sessions = next(m for m in found.report.meters if m.meter == SESSION)
        assert sessions.quota
        assert 3600 <= sessions.seconds <= 3600 + 2 * POLL
        assert found.included[SESSION] == 1000


async def test_history_that_was_rolled_up_reports_as_it_did_before():
    question = Question(Window(), tuple(By))
    async with lab(tariffs=tariffs("cloud-hosted", Choices(stt=STT))) as there:
        await an_hour(there)
        there.world.join("call-1", "alice")
        await there.ticks(2)
        before = await asked(there, question)
        later = there.clock.now() + timedelta(days=1)
        assert await HistoryStore(there.database).roll_up(later, 100) == 1
        after = await asked(there, question)
        assert after.report.totals == before.report.totals
        assert after.report.groups == before.report.groups
        assert after.report.meters == before.report.meters
        assert by_meter(after) == by_meter(before)
        assert after.avoided == before.avoided


def test_what_is_rolled_up_while_it_is_read_counts_once(tmp_path):
    url = f"sqlite+aiosqlite:///{tmp_path / 'watchdog.db'}"
    history = [replace(one(f"e{n}", n, n + 60), policy="default") for n in range(5)]
    postings = Postings(at(0), lines={episode.id: (LINE,) for episode in history})

    async def roll_up() -> int:
        async with await open_database(url) as beside:
            return await HistoryStore(beside).roll_up(at(9000), 100)

    rolled: list[int] = []

    def meanwhile(_) -> None:
        if not rolled:
            daemon = Thread(target=lambda: rolled.append(asyncio.run(roll_up())))
            daemon.start()
            daemon.join()

    async def read(each=lambda _: None) -> Spending:
        async with await open_for_reading(url) as database:
            question = Question(Window())
            return await read_spending(database, Books({}, {}), question, at(9000), each)

    async def prepare() -> None:
        async with await open_database(url) as database:
            await EpisodeStore(database).commit(tick(1, project="default"), history, {}, postings)

    asyncio.run(prepare())
    during = asyncio.run(read(meanwhile))
    assert rolled == [5]
    totals = asyncio.run(read()).report.totals
    assert during.report.totals.spend == totals.spend == Spend(Decimal("0.40"), Decimal("0.50"))
    assert during.report.totals.episodes == totals.episodes == 5


async def test_the_likely_cause_of_a_simulated_hour():
    async with lab() as there:
        await an_hour(there)
        (support,) = (await asked(there)).report.agents
        assert {f.cause: f.longest for f in support.in_order()} == {
            Cause.LONG_DEPARTURE_TIMEOUT: 86400,
            Cause.NO_AWAY_HANDLER: 0,
        }


async def test_many_pages_of_history_are_added_up_like_one(monkeypatch):
    async with lab() as there:
        for n in range(5):
            there.strand(f"call-{n}")
        await there.ticks(10)
        whole = await asked(there, Question(Window(), (By.DAY, By.POLICY)))
        small = EpisodeStore.episodes_since.__wrapped__

        async def paged(self, project=None, since=None, *, after=None, limit=2):
            return await small(self, project, since, after=after, limit=limit)

        monkeypatch.setattr(EpisodeStore, "episodes_since", paged)
        parts = await asked(there, Question(Window(), (By.DAY, By.POLICY)))
        assert parts.report == whole.report
        assert whole.report.totals.episodes == 5


# ---- the command -----------------------------------------------------------------------------------

LINE = replace(
    STORED, seconds=Decimal(600), spend=Spend(Decimal("0.08"), Decimal("0.10")), book_version="then"
)
HISTORY = (
    replace(one("long", 0, 600), policy="default"),
    replace(one("back", 90, 120, "person_returned"), policy="default"),
    one("older", 200, 260),  # than the ledger
    one("open", 6400),
    replace(one("tel", 300, 330, room_name="=+4930123456"), policy="never-attended"),
)
WRITTEN = Postings(
    at(7000),
    lines={
        "long": (LINE, replace(LINE, meter="lk.ingress", price=None, spend=Spend())),
        "back": (replace(LINE, spend=Spend(Decimal("0.01"), Decimal("0.01"))),),
        "tel": (replace(LINE, agent_name="=cmd()", spend=Spend(Decimal("0.5"), Decimal("0.5"))),),
    },
    corrections=(Correction(at(60), "long", "support", Spend(Decimal("0.2"), Decimal("0.3"))),),
    avoided=(
        Avoidance("long", "call-long", "support", Basis.HORIZON, at(600), at(4200), Decimal("1.5"),
                  at(600), at(600), Decimal(0)),
    ),
)  # fmt: skip


@pytest.fixture
def kept(told: Program) -> Program:
    """The program beside what a daemon would have left."""
    record = replace(
        tick(400, project="default"),
        at=at(7000),
        watched_seconds=6300,
        blind_seconds=700,
        seen={"open": at(7000)},
    )
    write(told, record, HISTORY, WRITTEN)
    return told


def write(program: Program, record, episodes, postings=WRITTEN) -> None:
    async def commit() -> None:
        url = f"sqlite+aiosqlite:///{program.directory / 'watchdog.db'}"
        async with await open_database(url) as database:
            await EpisodeStore(database).commit(record, episodes, {}, postings)

    asyncio.run(commit())


OPEN = Decimal("0.005")
"""600 s of a participant, for the open episode."""
OLDER = Decimal("0.0005")
LOW = Decimal("0.08") + Decimal("0.01") + Decimal("0.5") + OPEN + OLDER


def test_the_report_says_what_it_came_to_why_and_how_sure_that_is(kept):
    result = kept("report")
    assert (result.code, result.err) == (0, "")
    for part in (
        "from the beginning to 20",
        "5 episodes began, 0 of them known never to have had a person",
        "spend        $0.5955 to $0.61",
        "avoided      $1.50 by deletions in default (basis horizon)",
        "corrected    exported counters of default say up to $0.30 more: corrected downwards 1 time\n",
        "not in these sums: lk.ingress, 10m 00s, unpriced under plan ship",
        "reckoned     1 episode not over yet: until the newest tick, with the prices of today",
        "reckoned     1 episode older than the ledger: with the prices of today",
        "blind        default: 10.0 % (11m 40s) since the first tick",
        "NOTHING SEEN in the last ",
        "a person came back",
        "still open",
        "the agent stays after the person has left\n    -> end the session on participant_disconnected",
        "An estimate from list prices",
    ):
        assert part in result.out


def test_json_has_everything_and_its_groups_add_up(kept):
    result = kept("report", "--json", "--by", "agent,policy,close_reason")
    assert (result.code, result.err) == (0, "")
    found = result.json
    assert found["by"] == ["agent", "policy", "close_reason"]
    assert Decimal(found["totals"]["low_usd"]) == LOW
    assert sum(Decimal(group["low_usd"]) for group in found["groups"]) == LOW
    dearest = found["groups"][0]
    names = ("agent", "policy", "close_reason", "low_usd")
    assert [dearest[k] for k in names] == ["=cmd()", "never-attended", "room_gone", "0.5"]
    ingress = next(m for m in found["meters"] if m["meter"] == "lk.ingress")
    assert (ingress["low_usd"], ingress["seconds"], ingress["is_quota"]) == (None, 600, False)
    assert found["estimates"] == {"booked": 3, "todays_prices": 1, "running": 1}
    first = found["rooms"][0]
    assert (first["room_name"], first["estimate"]) == ("=+4930123456", "booked")
    (coverage,) = found["coverage"]
    assert (coverage["blind_share"], coverage["reaches_back"]) == (0.1, True)
    assert found["avoided"] == [{"project": "default", "basis": "horizon", "usd": "1.5"}]
    (agent_,) = [a for a in found["agents"] if a["agent_name"] == "support"]
    assert [c["cause"] for c in agent_["likely_causes"]] == ["no_away_handler", "person_returned"]
    assert sum(age["episodes"] for age in found["ages"]) == 5


def test_where_the_records_kept_begin_after_the_window_it_says_what_was_missed_at_most(kept):
    late = replace(
        tick(401, project="default"), at=at(7030), watched_seconds=6330, blind_seconds=700
    )
    write(kept, late, [], Postings(at(0)))
    since = START.isoformat()  # the first record that is kept is of 7000 s later
    assert (
        "0.0 % (0s) since 2026-03-01 13:56 UTC, when the records kept begin; before that at most 11m 40s"
    ) in kept("report", "--since", since).out
    (coverage,) = kept("report", "--since", since, "--json").json["coverage"]
    assert (coverage["reaches_back"], coverage["blind_seconds_before"]) == (False, 700)


def test_a_window_and_a_project_are_applied(kept):
    started = START.isoformat()
    until = (START + timedelta(seconds=300)).isoformat()
    found = kept("report", "--json", "--since", started, "--until", until).json
    assert found["totals"]["episodes"] == 3
    long = next(room for room in found["rooms"] if room["room_name"] == "call-long")
    assert Decimal(long["low_usd"]) == Decimal("0.04")
    assert kept("report", "--json", "--project", "default").json["totals"]["episodes"] == 5
    assert kept("report", "--json", "--since", "1h").json["rooms"] == []


def test_what_is_left_of_an_allowance_gives_an_effective_figure_beside_the_list_prices(kept):
    plain = kept("report", "--json").json
    assert plain["effective"] is None
    meter = next(m["meter"] for m in plain["meters"] if m["low_usd"] and Decimal(m["low_usd"]) > 0)
    found = kept("report", "--json", "--left", f"{meter}=1000000").json
    assert found["totals"] == plain["totals"]
    assert Decimal(found["effective"]["low_usd"]) < Decimal(plain["totals"]["low_usd"])
    assert "effective" in kept("report", "--left", f"{meter}=1").out
    refused = kept("report", "--left", meter)
    assert refused.code == 2
    assert "write it like lk.agent_session=1200" in refused.err


def test_csv_has_a_row_a_group_and_no_formula(kept):
    result = kept("report", "--format", "csv", "--by", "agent")
    assert (result.code, result.err) == (0, "")
    first, second = csv.DictReader(io.StringIO(result.out))
    assert (first["agent"], second["agent"]) == ("'=cmd()", "support")
    assert Decimal(first["low_usd"]) + Decimal(second["low_usd"]) == LOW
    assert second["unpriced_seconds"] == "600.0"


def test_the_focus_csv_loads_in_pandas_and_its_sums_equal_the_report_s(kept):
    text = kept("report", "--format", "focus").out
    frame = pd.read_csv(io.StringIO(text), parse_dates=["ChargePeriodStart", "ChargePeriodEnd"])
    totals = kept("report", "--json").json["totals"]
    exact = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    low = sum(Decimal(cell or 0) for cell in exact["ListCost"])
    assert low == Decimal(totals["low_usd"]) == LOW
    high = sum(Decimal(cell or 0) for cell in exact["x_HighCost"])
    assert high == Decimal(totals["high_usd"])
    assert frame["BilledCost"].sum() == 0
    assert str(frame["ChargePeriodStart"].dt.tz) == "UTC"
    assert frame["ListCost"].sum() == pytest.approx(float(LOW))
    assert set(frame["x_Estimate"]) == {"booked", "todays_prices", "running"}
    assert "'=+4930123456" in set(frame["ResourceName"])


@pytest.mark.parametrize("style", ["table", "json", "focus"])
def test_room_names_are_shown_as_far_as_privacy_lets_them(kept, style):
    private = kept.with_(WATCHDOG_PRIVACY__ROOM_NAMES="masked")
    result = private("report", "--format", style)
    assert result.code == 0
    assert "30123456" not in result.out
    assert "=+***" in result.out


def test_a_picture_is_drawn_beside_whatever_is_printed(kept):
    result = kept("report", "--plot", "out.svg", "--format", "csv")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("project,agent,episodes")
    assert "Spend on orphaned agents by UTC day" in (kept.directory / "out.svg").read_text()


def test_what_is_stored_of_a_project_that_is_gone_still_counts(kept):
    (kept.directory / "watchdog.toml").write_text("")
    elsewhere = replace(one("x", 0, 60), project="old", policy="default")
    left = replace(one("y", 0), project="old")
    write(kept, tick(9, project="old"), [elsewhere, left], Postings(at(0), lines={"x": (LINE,)}))
    found = kept("report", "--json", "--by", "project").json
    assert {g["project"]: g["episodes"] for g in found["groups"]} == {"default": 5, "old": 2}
    assert found["estimates"]["not_reckoned"] == 1
    assert kept("report", "--project", "old", "--json").json["totals"]["low_usd"] == "0.08"
    assert "1 episode of a project that is not configured: not in these sums" in kept("report").out


def test_without_any_project_configured_what_is_stored_is_reported(kept):
    nobody = kept.with_(LIVEKIT_URL="", LIVEKIT_API_KEY="", LIVEKIT_API_SECRET="")
    result = nobody("report", "--json")
    assert result.code == 0
    assert Decimal(result.json["totals"]["low_usd"]) == LOW - OPEN - OLDER


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "room"], "--by: 'room' is nothing to group by; use project, agent, policy, day"),
        (["--by", ","], "--by: an empty list is nothing to group by"),
        (["--since", "soon"], "--since 'soon' is no time"),
        (["--until", "13.13.2026"], "--until '13.13.2026' is no time"),
        (["--since", "1d", "--until", "2d"], "nothing lies between --since and --until"),
        (["--project", "nope"], "'nope' is no project of the configuration or the database"),
        (["--plot", "a.pdf"], "--plot a.pdf must end in .svg or .png"),
        (["--json", "--format", "csv"], "--json and --format csv ask for two things"),
        (["--format", "xml"], "xml"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(kept, arguments, said):
    result = kept("report", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


def test_without_a_database_it_says_the_cure(told):
    result = told("report")
    assert result.code == 1
    assert "start `livekit-watchdog run` first" in result.err


def test_an_empty_database_has_an_empty_report(told):
    write(told, tick(1, project="default"), [], Postings(at(0)))
    result = told("report")
    assert (result.code, result.err) == (0, "")
    assert "0 episodes began" in result.out
    assert told("report", "--format", "focus").out.count("\n") == 1


def test_names_play_no_tricks_in_80_columns(kept):
    nasty = replace(
        one("\x1b[2J", 900, 960, room_name="call-\x1b[2J"),
        policy="default",
        agents=(replace(agent(1, since=900, seen=960), agent_name="a\x1b]0;x\x07"),),
    )
    lines = {nasty.id: (replace(LINE, agent_name="a\x1b]0;x\x07"),)}
    write(
        kept,
        replace(tick(401, project="default"), at=at(7015)),
        [nasty],
        Postings(at(0), lines=lines),
    )
    with closing(Terminal(kept, "report", columns=80)) as terminal:
        assert terminal.read_to_end() == 0
        text = terminal.text
    assert "\\x1b" in text
    assert "\x1b[2J" not in text
    assert "\x1b]0;" not in text
