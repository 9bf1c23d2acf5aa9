"""Why agents were likely left alone, and what ends it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.expose.builders import at, episode, usd
from watchdog.core.model import CloseReason
from watchdog.core.names import OTHER
from watchdog.reporting.causes import FLAPS, MOST_NAMES, WHY, Cause, CauseTally, likely_causes

SHORT = {"departure_timeout": 20, "empty_timeout": 300}
GONE = {"gone": 600, "reason": CloseReason.ROOM_GONE} | SHORT


def causes(**more) -> list[Cause]:
    return [cause for cause, _ in likely_causes(episode(**(GONE | more)), "support")]


@pytest.mark.parametrize(
    ("known", "likely"),
    [
        ({"person_seen": True}, [Cause.NO_AWAY_HANDLER]),
        ({"person_seen": True, "hung_up": True}, [Cause.NO_AWAY_HANDLER]),
        ({"person_seen": True, "hung_up": False}, [Cause.LOST_CONNECTION]),
        (
            {"person_seen": True, "departure_timeout": 3600},
            [Cause.LONG_DEPARTURE_TIMEOUT, Cause.NO_AWAY_HANDLER],
        ),
        ({"person_seen": False}, [Cause.NEVER_ATTENDED]),
        # Nobody left, so the departure timeout keeps nothing.
        ({"person_seen": False, "departure_timeout": 3600}, [Cause.NEVER_ATTENDED]),
        (
            {"person_seen": False, "empty_timeout": 7200},
            [Cause.NEVER_ATTENDED, Cause.LONG_EMPTY_TIMEOUT],
        ),
        ({"person_seen": None}, []),
        ({"person_seen": None, "departure_timeout": 3600}, [Cause.LONG_DEPARTURE_TIMEOUT]),
        ({"person_seen": None, "empty_timeout": 7200}, [Cause.LONG_EMPTY_TIMEOUT]),
        ({"person_seen": True, "gone": None, "reason": None}, [Cause.NO_AWAY_HANDLER]),
        ({"person_seen": True, "reason": CloseReason.DELETED}, [Cause.NO_AWAY_HANDLER]),
        # What staying is for is no fault, whatever the timeouts.
        (
            {"person_seen": True, "reason": CloseReason.PERSON_RETURNED, "departure_timeout": 3600},
            [Cause.PERSON_RETURNED],
        ),
        ({"person_seen": False, "reason": CloseReason.PERSON_JOINED}, [Cause.TOO_EARLY]),
        # Nothing runs there: nothing else matters.
        ({"stranded_since": at(60), "departure_timeout": 3600}, [Cause.DEAD_NODE]),
    ],
)
def test_likely_causes(known, likely):
    assert causes(**known) == likely


def spans(*times: tuple[float, float], **more):
    """An episode whose agents, all called support, were seen from and until these times."""
    one = episode(**(GONE | more))
    (first,) = one.agents
    return replace(
        one,
        agents=tuple(
            replace(
                first,
                participant_sid=f"PA_{n}",
                bounds=replace(
                    first.bounds, first_orphaned_at=at(came), last_seen_orphaned_at=at(last)
                ),
            )
            for n, (came, last) in enumerate(times)
        ),
    )


@pytest.mark.parametrize(
    ("times", "likely"),
    [
        ([(0, 600), (300, 600)], Cause.DUPLICATES),
        ([(0, 0), (0, 0)], Cause.DUPLICATES),  # one look has shown both
        ([(0, 285), (300, 600)], None),  # one that was replaced
        ([(n * 30, n * 30 + 15) for n in range(FLAPS)], Cause.FLAPPING),
        ([(n * 30, n * 30 + 15) for n in range(FLAPS - 1)], None),
    ],
)
def test_agents_that_are_there_twice_or_come_and_go(times, likely):
    found = [cause for cause, _ in likely_causes(spans(*times), "support")]
    assert found == [Cause.NO_AWAY_HANDLER, *([likely] if likely else [])]


def test_agents_without_a_name_are_nobody_s_duplicates():
    one = spans(*[(0, 600)] * FLAPS)
    unnamed = replace(one, agents=tuple(replace(a, agent_name="_unnamed") for a in one.agents))
    assert [c for c, _ in likely_causes(unnamed, "_unnamed")] == [Cause.NO_AWAY_HANDLER]


def test_by_agent_the_dearest_cause_comes_first_and_what_is_no_fault_last():
    tally = CauseTally()
    tally.add(episode(1, **GONE | {"departure_timeout": 600}), {"support": usd("1")})
    tally.add(episode(2, **GONE | {"departure_timeout": 3600}), {"support": usd("2")})
    tally.add(episode(3, **GONE | {"person_seen": False}), {"support": usd("5")})
    tally.add(episode(4, gone=60, departure_timeout=20), {"support": usd("9")})
    tally.add(episode(5, agents=("rare",), **GONE), {"rare": usd("0.5")})
    support, rare = tally.found()
    assert (support.agent_name, support.episodes, support.spend.low) == ("support", 4, 17)
    first, second, third, last = support.in_order()
    assert (first.cause, first.episodes, first.spend.low) == (Cause.NEVER_ATTENDED, 1, 5)
    assert {second.cause, third.cause} == {Cause.LONG_DEPARTURE_TIMEOUT, Cause.NO_AWAY_HANDLER}
    by_cause = support.findings
    assert by_cause[Cause.LONG_DEPARTURE_TIMEOUT].longest == 3600
    assert by_cause[Cause.LONG_DEPARTURE_TIMEOUT].spend.low == Decimal(3)
    assert last.cause is Cause.PERSON_RETURNED
    assert (rare.agent_name, rare.spend.low) == ("rare", Decimal("0.5"))


def test_more_names_than_can_be_told_apart_are_counted_together():
    tally = CauseTally()
    for n in range(MOST_NAMES + 20):
        tally.add(episode(n, agents=(f"agent-{n}",), **GONE), {})
    found = {agent.agent_name: agent.episodes for agent in tally.found()}
    assert (len(found), found[OTHER]) == (MOST_NAMES + 1, 20)


def test_every_cause_has_a_cure_in_one_line():
    assert WHY.keys() == set(Cause)
    for likely, cure in WHY.values():
        assert likely
        assert "\n" not in cure.format(longest="1h 00m")
        assert len(cure) <= 110
