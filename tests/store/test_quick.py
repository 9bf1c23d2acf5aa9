"""A report by day, where the database adds up, is the report that looks at every episode: digit for digit."""

import random
from contextlib import redirect_stdout
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import product

import pytest

from tests.cli.test_report import POLICIES, tariffs
from tests.store.builders import LINE, START, agent, at, closed, episode, seen_at, tick
from tests.store.test_history import keep
from watchdog.core.ledger import LedgerLine, Postings
from watchdog.core.model import AgentSpan, Bounds, CloseReason, Episode, Role
from watchdog.core.profiles import Choices
from watchdog.core.spend import Spend
from watchdog.expose.labels import RoomNames
from watchdog.reporting import causes
from watchdog.reporting.causes import Cause
from watchdog.reporting.entries import Estimate
from watchdog.reporting.report import By
from watchdog.reporting.window import Window
from watchdog.spending import Books, Question, Spending, read_spending
from watchdog.spendingtext import print_spending_json
from watchdog.store.database import Database
from watchdog.store.episodes import EpisodeStore

DAY = 86400
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(days=9)
NAMES = ("support", "avatar", "", "é\n|", "_unnamed", "'; DROP TABLE episodes; --")
BOOKS = Books({"main": tariffs("cloud-hosted", Choices())}, {"main": POLICIES, "second": POLICIES})
WHOLE = Window()


def moment(rng: random.Random, days: float = 6) -> datetime:
    """Some time, to the microsecond; often a midnight or an hour that others have, too."""
    at_all = MIDNIGHT + timedelta(microseconds=rng.randrange(int(days * DAY * 1e6)))
    return rng.choice([at_all, at_all, at_all.replace(hour=0, minute=0, second=0, microsecond=0)])


def length(rng: random.Random, began: datetime) -> timedelta:
    to_midnight = timedelta(days=1) - timedelta(hours=began.hour, minutes=began.minute)
    to_midnight -= timedelta(seconds=began.second, microseconds=began.microsecond)
    return rng.choice(
        [
            timedelta(0),
            timedelta(seconds=60),
            timedelta(microseconds=rng.randrange(3_600_000_000)),
            timedelta(microseconds=rng.randrange(3_600_000_000)),
            to_midnight,
            to_midnight + timedelta(microseconds=1),
            timedelta(hours=rng.uniform(0, 60)),
        ]
    )


def spans(rng: random.Random, began: datetime, gone: datetime) -> tuple[AgentSpan, ...]:
    """Connections of all kinds: several of a name, at once or one after the other, legs, avatars, none."""
    names = rng.sample(NAMES, 2)
    found = []
    for number in range(rng.choice([0, 1, 1, 1, 1, 2, 4])):
        came, last = sorted(began + (gone - began) * rng.random() for _ in range(2))
        found.append(
            replace(
                agent(number),
                agent_name=rng.choice(names),
                kind=rng.choice(["AGENT", "AGENT", "STANDARD", "SIP"]),
                role=rng.choice([Role.AGENT, Role.AGENT, Role.AVATAR]),
                bounds=Bounds(None, came, last, gone),
            )
        )
    return tuple(found)


def bill(rng: random.Random, name: str) -> tuple[LedgerLine, ...]:
    """Lines under one name; often of the same amounts, so that rooms are equally dear."""
    return tuple(
        replace(
            LINE,
            agent_name=name,
            meter=meter,
            price=rng.choice([None, Decimal("0.01"), Decimal(0)]),
            plan=rng.choice(["ship", "build"]),
            seconds=rng.choice(
                [Decimal("0.1"), Decimal("60.3"), Decimal(rng.randrange(10**12)) / 10**9]
            ),
            spend=rng.choice(
                [
                    Spend(),
                    Spend(Decimal("0.1"), Decimal("0.25")),
                    Spend(*(Decimal(rng.randrange(10**10)) / 10**9 for _ in range(3))),
                ]
            ),
            book_hash=rng.choice(["h", "k"]),
        )
        for meter in rng.sample(
            ["lk.agent_session", "lk.ingress", "stt", "tts"], rng.randrange(1, 4)
        )
    )


def anything(rng: random.Random, number: int) -> tuple[Episode, tuple[LedgerLine, ...]]:
    """One episode of any kind: open, over, over a midnight, from before the ledger, stranded."""
    began = moment(rng)
    gone = began + length(rng, began)
    one = episode(f"E{rng.randrange(10**6):06}_{number}", project=rng.choice(["main", "second"]))
    recorder = replace(agent(90), role=Role.RECORDER, agent_name=rng.choice(NAMES))
    is_open = rng.random() < 0.1
    one = replace(
        one,
        bounds=Bounds(None, began, gone, None if is_open or rng.random() < 0.02 else gone),
        agents=spans(rng, began, gone),
        recordings=rng.choice([(), (), (recorder,)]),
        person_seen=rng.choice([None, True, False]),
        hung_up=rng.choice([None, True, False]),
        departure_timeout=rng.choice([20, 3600, 7200]),
        empty_timeout=rng.choice([300, 900]),
        stranded_since=rng.choice([None] * 6 + [began]),
        close_reason=None if is_open else rng.choice(list(CloseReason)),
        policy="" if is_open else rng.choice(["", "default", "phone"]),
    )
    names = {span.agent_name for span in one.connections}
    billed = [name for name in sorted(names) if rng.random() < 0.8]
    return one, tuple(line for name in billed for line in bill(rng, name))


async def many(database: Database, seed: int, number: int = 250) -> None:
    rng = random.Random(seed)
    made = [anything(rng, n) for n in range(number)]
    await keep(database, [one for one, _ in made], {one.id: lines for one, lines in made if lines})


async def both(database: Database, question: Question) -> tuple[Spending, Spending]:
    """By day, and with a look at each."""
    quick = await read_spending(database, BOOKS, question, NOW)
    slow = await read_spending(database, BOOKS, question, NOW, lambda _: None)
    return quick, slow


def text(found: Spending) -> str:
    """What is printed, to the last digit."""
    with redirect_stdout(StringIO()) as said:
        print_spending_json(found, RoomNames("full"))
    assert '"totals"' in said.getvalue()
    return said.getvalue()


def assert_same(quick: Spending, slow: Spending) -> None:
    assert quick == slow
    assert list(quick.report.groups) == list(slow.report.groups)
    assert text(quick) == text(slow)


WINDOWS = {
    "everything": WHOLE,
    "whole days": Window(MIDNIGHT, MIDNIGHT + timedelta(days=4)),
    "one whole day": Window(MIDNIGHT + timedelta(days=2), MIDNIGHT + timedelta(days=3)),
    "cut days": Window(at(DAY + 1234.5), at(4 * DAY + 4321.25)),
    "within a day": Window(at(DAY), at(DAY + 7200)),
    "over one midnight": Window(at(DAY), at(2 * DAY)),
    "from then on": Window(at(2.5 * DAY)),
    "until then": Window(None, at(2.5 * DAY)),
    "in another zone": Window(
        datetime.fromisoformat("2026-03-03T02:00+02:00"),
        datetime.fromisoformat("2026-03-05T23:00-01:00"),
    ),
    "long before": Window(at(-90 * DAY), at(-80 * DAY)),
    "long after": Window(at(90 * DAY)),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS.keys())
@pytest.mark.parametrize("seed", range(3))
async def test_by_day_or_one_by_one_is_the_same_in_every_window(
    database: Database, seed: int, window: Window
) -> None:
    await many(database, seed)
    assert_same(*await both(database, Question(window)))


async def test_the_same_whatever_is_asked_for(database: Database) -> None:
    await many(database, 9)
    groupings = [tuple(By), (By.DAY,), (By.CLOSE_REASON, By.POLICY)]
    for by, project, top in product(groupings, (None, "main", "second"), (0, 3, 1000)):
        question = Question(WINDOWS["cut days"], by, project, top)
        assert_same(*await both(database, question))


async def test_every_kind_is_among_what_is_compared(database: Database) -> None:
    await many(database, 0)
    quick, _ = await both(database, Question(WHOLE))
    assert quick.report.estimates.keys() == set(Estimate)
    assert {f.cause for a in quick.report.agents for f in a.in_order()} == set(Cause)
    assert all(quick.report.ages)
    assert (
        {m.priced for m in quick.report.meters}
        == {m.quota for m in quick.report.meters}
        == {True, False}
    )


async def test_without_episodes_it_is_the_same(database: Database) -> None:
    assert_same(*await both(database, Question(WHOLE)))


async def test_with_more_agent_names_than_are_told_apart_it_is_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(causes, "MOST_NAMES", 3)
    await many(database, 1)
    quick, slow = await both(database, Question(WHOLE))
    assert_same(quick, slow)
    assert "_other" in {one.agent_name for one in quick.report.agents}


async def test_days_of_many_parts_are_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("watchdog.store.quick._ROWS_AT_ONCE", 4)
    monkeypatch.setattr("watchdog.store.quick.MOST_AT_ONCE", 3)
    monkeypatch.setattr("watchdog.store.quick.AT_ONCE", 2)
    await many(database, 2)
    assert_same(*await both(database, Question(WHOLE)))


async def test_of_equally_dear_rooms_the_first_that_began_is_named(database: Database) -> None:
    ids = ["E3", "E1", "E2", "E0"]
    same = [closed(seen_at(episode(key, since=60), 120), 120) for key in ids]
    early = closed(seen_at(episode("E9", since=0), 60), 60)
    booked = [replace(one, policy="default") for one in (*same, early)]
    await keep(database, booked, {one.id: (LINE,) for one in booked})
    for found in await both(database, Question(WHOLE, top=3)):
        assert [room.case.episode.id for room in found.report.rooms] == ["E9", "E0", "E1"]


async def test_history_in_which_years_have_nothing_is_read_at_once(database: Database) -> None:
    """A day without episodes costs nothing, however many there are."""
    old = replace(
        closed(seen_at(episode("E1", since=-20_000 * DAY), 0), -20_000 * DAY + 60), policy="x"
    )
    new = replace(closed(seen_at(episode("E2"), 60), 60), policy="x")
    await EpisodeStore(database).commit(
        tick(1), [old, new], {}, Postings(START, lines={"E1": (LINE,)})
    )
    quick, slow = await both(database, Question(WHOLE))
    assert_same(quick, slow)
    assert quick.report.totals.episodes == 2
