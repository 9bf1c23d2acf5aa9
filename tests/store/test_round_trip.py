"""What goes into the database comes out of it again, whatever it is."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.store.builders import START, agent, at, closed, episode, tick
from watchdog.core.errors import StoreError
from watchdog.core.model import AgentSpan, Bounds, CloseReason, Episode, Role, TickResult
from watchdog.core.records import ProjectMemory, TickRecord
from watchdog.core.spend import Spend
from watchdog.store.database import Database, open_database
from watchdog.store.episodes import EpisodeStore
from watchdog.store.tables import storable

HOSTILE = (
    "'; DROP TABLE episodes; --",
    'a "quoted" `name` \\ with % and _ and ? and :bind',
    "🤖👩‍🚀 über 会話",
    "\u202egnirts a si siht",
    "bell \a, escape \x1b[31m, tab \t, newline \n, unit separator \x1f, delete \x7f",
    " leading and trailing ",
    "",
    "𐍈" * 256,
)

characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
names = st.text(characters, max_size=256)
times = st.datetimes(
    min_value=datetime(2020, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
)
maybe_times = st.none() | times
bounds = st.builds(Bounds, maybe_times, times, times, maybe_times)
spans = st.builds(
    AgentSpan,
    participant_sid=st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1),
    identity=names,
    agent_name=names,
    kind=names,
    role=st.sampled_from(Role),
    joined_at=maybe_times,
    bounds=bounds,
)
open_episodes = st.builds(
    Episode,
    id=st.just("E1"),
    project=st.just("main"),
    room_sid=names,
    room_name=names,
    room_created_at=times,
    empty_timeout=st.integers(0, 2**32 - 1),
    departure_timeout=st.integers(0, 2**32 - 1),
    person_seen=st.none() | st.booleans(),
    bounds=bounds,
    watched_at_open=st.floats(0, 1e12),
    agents=st.just(()),
    last_reachable_at=maybe_times,
    last_probed_at=maybe_times,
    stranded_since=maybe_times,
    close_reason=st.none(),
)


open_episodes = st.builds(
    lambda one, spans: replace(
        one,
        agents=tuple(span for span in spans if span.role is not Role.RECORDER),
        recordings=tuple(span for span in spans if span.role is Role.RECORDER),
    ),
    open_episodes,
    st.lists(spans, max_size=4, unique_by=lambda span: span.participant_sid),
)


async def reloaded(*commits: tuple[TickRecord, list[Episode], dict[str, Spend]]) -> ProjectMemory:
    async with await open_database("sqlite+aiosqlite://") as database:
        for commit in commits:
            await EpisodeStore(database).commit(*commit)
        return await EpisodeStore(database).load("main")


@pytest.mark.trap("T45")
@settings(max_examples=40, deadline=None)
@given(open_episodes)
def test_t45_every_field_of_an_episode_with_any_names_survives(one: Episode) -> None:
    memory = asyncio.run(reloaded((tick(1), [one], {})))
    assert memory.episodes == (one,)


@pytest.mark.trap("T45")
@pytest.mark.parametrize("name", HOSTILE)
async def test_t45_a_hostile_name_is_stored_found_and_given_back_as_it_is(
    store: EpisodeStore, name: str
) -> None:
    span = replace(agent(1), identity=name, agent_name=name, kind=name)
    one = replace(episode("E1", agents=(span,)), room_name=name)
    other = episode("E2", room_name="another room")
    record = replace(tick(1), message=name, exported={name: Spend(Decimal(1))})
    await store.commit(record, [one, other], {name: Spend(Decimal(2))})

    memory = await store.load("main")
    assert set(memory.episodes) == {one, other}
    assert memory.last == record
    assert memory.closed_spend == {name: Spend(Decimal(2))}
    assert await store.episodes_of_room("main", name) == (one,)


@pytest.mark.trap("T45")
@pytest.mark.parametrize("unstorable", ["\0", "\ud800"])
async def test_t45_what_no_database_can_hold_is_replaced_and_the_rest_kept(
    store: EpisodeStore, unstorable: str
) -> None:
    name = f"room{unstorable}1"
    span = replace(agent(1), identity=name, agent_name=name)
    record = replace(tick(1), message=name, exported={name: Spend(Decimal(1))})
    await store.commit(
        record, [episode("E1", room_name=name, agents=(span,))], {name: Spend(Decimal(2))}
    )

    memory = await store.load("main")
    (found,) = memory.episodes
    assert found.room_name == "room\ufffd1"
    assert (found.agents[0].identity, found.agents[0].agent_name) == ("room\ufffd1", "room\ufffd1")
    assert memory.last is not None
    assert memory.last.message == "room\ufffd1"
    assert memory.last.exported == {"room\ufffd1": Spend(Decimal(1))}
    assert memory.closed_spend == {"room\ufffd1": Spend(Decimal(2))}
    assert await store.episodes_of_room("main", name) == (found,)  # asked for by its own name


@given(st.text(st.characters(), max_size=256))
def test_t45_storable_text_has_no_nul_is_valid_and_as_long_as_before(text: str) -> None:
    kept = storable(text)
    assert "\0" not in kept
    assert kept.encode().decode() == kept
    assert len(kept) == len(text)
    assert storable(kept) == kept


async def test_agents_keep_the_order_in_which_they_came(store: EpisodeStore) -> None:
    spans = tuple(agent(number) for number in (9, 3, 7, 1))
    await store.commit(tick(1), [episode("E1", agents=spans)], {})
    (found,) = (await EpisodeStore(store._database).load("main")).episodes
    assert [span.participant_sid for span in found.agents] == ["PA_9", "PA_3", "PA_7", "PA_1"]


@pytest.mark.parametrize("reason", list(CloseReason))
async def test_a_closed_episode_keeps_its_reason_and_its_end(
    store: EpisodeStore, reason: CloseReason
) -> None:
    one = replace(closed(episode("E1"), 90), close_reason=reason, person_seen=True)
    await store.commit(tick(1), [one], {})
    assert await store.episodes_of_room("main", "call-E1") == (one,)
    assert (await store.load("main")).episodes == ()


async def test_every_field_of_a_tick_survives(store: EpisodeStore) -> None:
    record = TickRecord(
        project="main",
        number=7_000_000_000,
        at=at(0.000001),
        result=TickResult.SUSPICIOUS,
        watched_seconds=1234.5678,
        blind_seconds=0.1,
        message="0 rooms where 40 were: waiting for a second list",
        seen={"E1": at(1)},
        probed={"E2": at(2)},
        verdicts={"attended": 3, "orphaned": 1},
        exported={
            "support": Spend(Decimal("0.1234567890123456789"), Decimal("1E+3"), Decimal("0.00"))
        },
    )
    await store.commit(record, [], {})
    found = (await EpisodeStore(store._database).load("main")).last
    assert found == record
    assert found is not None
    assert str(found.exported["support"].unverified) == "0.00"


async def test_times_come_back_in_utc_to_the_microsecond(store: EpisodeStore) -> None:
    kathmandu = timezone(timedelta(hours=5, minutes=45))
    one = replace(episode("E1"), room_created_at=START.astimezone(kathmandu))
    await store.commit(tick(1), [one], {})
    (found,) = (await EpisodeStore(store._database).load("main")).episodes
    assert found.room_created_at == START
    assert found.room_created_at.tzinfo is UTC
    assert found.room_created_at.microsecond == 123456


async def test_a_time_without_a_zone_is_refused(store: EpisodeStore) -> None:
    one = replace(episode("E1"), room_created_at=datetime(2026, 1, 1))
    with pytest.raises(StoreError, match="a time without a time zone cannot be stored"):
        await store.commit(tick(1), [one], {})
    assert await store.last_ticks() == {}


async def test_what_closed_episodes_have_cost_is_written_over_exactly(store: EpisodeStore) -> None:
    tenth = Spend(Decimal("0.1"), Decimal("0.2"), Decimal("0.000000001"))
    spent = Spend()
    for number in range(1, 31):
        spent += tenth
        # Twice, as after a commit whose answer was lost.
        for _ in range(2):
            await store.commit(tick(number), [], {"support": spent})
    expected = Spend(Decimal(3), Decimal(6), Decimal("0.000000030"))
    assert (await store.load("main")).closed_spend == {"support": expected}


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "1E+10"])
async def test_an_amount_that_cannot_be_stored_is_refused_whole(
    store: EpisodeStore, amount: str
) -> None:
    with pytest.raises(StoreError, match="amount of money"):
        await store.commit(tick(1), [episode("E1")], {"support": Spend(Decimal(amount))})
    assert (await store.load("main")) == ProjectMemory()


async def test_projects_do_not_see_each_other(database: Database) -> None:
    store = EpisodeStore(database)
    one, two = episode("E1"), episode("E2", project="second")
    await store.commit(tick(1), [one], {"support": Spend(Decimal(1))})
    await store.commit(tick(5, project="second"), [two], {"support": Spend(Decimal(2))})
    first, second = await store.load("main"), await store.load("second")
    assert (first.episodes, second.episodes) == ((one,), (two,))
    assert (first.last, second.last) == (tick(1), tick(5, project="second"))
    assert first.closed_spend == {"support": Spend(Decimal(1))}
    assert second.closed_spend == {"support": Spend(Decimal(2))}
    assert await store.load("third") == ProjectMemory()
