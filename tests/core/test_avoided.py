"""What a deletion avoids: a pure function of the episode, its tariffs and the time."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.expose.builders import at, episode
from watchdog.core.avoided import HORIZON, WIND_DOWN, Basis, avoidances, server_would_close
from watchdog.core.model import CloseReason
from watchdog.core.profiles import Choices, Tariffs, profile_of, resolve_tariff
from watchdog.prices.book import load_book

BOOK = load_book()
CLOUD = Choices(stt="lk.inference.stt.deepgram-nova-3")
SOCKET = Choices(stt="assemblyai.universal-streaming")


def tariffs(choices: Choices = CLOUD, hosting: str = "cloud-hosted") -> Tariffs:
    return Tariffs(resolve_tariff(BOOK, profile_of(hosting, choices), "ship", date(2026, 10, 1)))


def deleted(after: float = 600, **more):
    """An episode that a deletion ended so many seconds after it began."""
    return episode(began=0, gone=after, reason=CloseReason.DELETED, **more)


def the(one, made: Tariffs):
    (found,) = avoidances(one, made)
    return found


def test_until_the_server_itself_would_have_closed_the_room():
    found = the(deleted(departure_timeout=7800), tariffs())
    assert (found.basis, found.until) == (Basis.ROOM_TIMEOUT, at(7800))
    assert found.booked(at(99999)) == Decimal("0.888") * 2


@pytest.mark.parametrize("timeout", [20, 600])
def test_for_an_hour_where_it_should_have_been_closed_long_ago(timeout: int):
    found = the(deleted(departure_timeout=timeout), tariffs())
    assert (found.basis, found.until) == (Basis.HORIZON, at(600) + HORIZON)
    assert found.booked(at(99999)) == Decimal("0.888")


@pytest.mark.parametrize(("person_seen", "closing"), [(True, 3600), (False, 2400), (None, 2400)])
def test_which_of_the_rooms_timeouts_counts(person_seen: bool | None, closing: int):
    one = deleted(departure_timeout=3600, empty_timeout=3000, person_seen=person_seen)
    assert server_would_close(one) == at(closing)


def test_it_is_booked_as_the_time_passes_and_stops_when_the_room_is_back():
    found = the(deleted(departure_timeout=7800), tariffs())
    assert found.booked(at(600)) == 0
    assert found.booked(at(600 + 1800)) == Decimal("0.444")
    assert found.booked(at(0)) == 0, "never below nothing"
    stopped = found.stopped(at(600 + 1800))
    assert stopped.booked(at(99999)) == Decimal("0.444")
    assert stopped.is_over(at(2400))
    assert not stopped.is_over(at(2399))
    assert stopped.stopped(at(700)) == stopped


@pytest.mark.trap("T43")
def test_t43_a_provider_is_not_taken_to_stop_with_the_room():
    found = the(deleted(departure_timeout=20), tariffs(SOCKET, "self-hosted-on-cloud"))
    wound_down = at(600) + WIND_DOWN
    assert found.booked(wound_down) == Decimal("0.03") * 390 / 3600, "LiveKit's own meter alone"
    hour = found.booked(at(99999))
    assert hour == Decimal("0.03") + Decimal("0.15") * (3600 - 390) / 3600


def test_a_session_that_would_have_ended_by_itself_avoids_nothing_beyond():
    one = deleted(after=10000, departure_timeout=20000)
    found = the(one, tariffs(SOCKET, "self-hosted-everything"))
    # It began with the episode here, and is closed after three hours.
    assert found.provider_until == at(10800)
    assert found.booked(at(99999)) == Decimal("0.15") * (800 - 390) / 3600


def test_what_may_bill_is_not_avoided_and_neither_is_what_had_left_before():
    possible = Choices(stt="azure.speech-realtime")
    late = deleted(departure_timeout=20)
    assert the(late, tariffs(possible)).booked(at(99999)) == Decimal("0.60")
    one = deleted(agents=("a", "b"))
    gone, here = one.agents
    left = replace(gone.bounds, first_gone_at=at(75), last_seen_orphaned_at=at(60))
    one = replace(one, agents=(replace(gone, bounds=left), here))
    assert [found.agent_name for found in avoidances(one, tariffs())] == ["b"]


def test_nothing_is_avoided_where_nothing_certainly_runs_or_is_known_to():
    assert list(avoidances(deleted(), tariffs(Choices(), "self-hosted-everything"))) == []
    assert list(avoidances(deleted(stranded_since=at(60)), tariffs())) == []


@given(
    st.integers(0, 10**5),
    st.lists(st.integers(-1000, 10**5), min_size=2, max_size=2),
    st.none() | st.integers(0, 10**5),
)
def test_it_never_falls_as_time_goes_on(timeout: int, moments: list[int], back: int | None):
    found = the(deleted(departure_timeout=timeout), tariffs(SOCKET, "self-hosted-on-cloud"))
    if back is not None:
        found = found.stopped(at(600 + back))
    early, late = sorted(at(moment) for moment in moments)
    assert 0 <= found.booked(early) <= found.booked(late)
    assert not found.is_over(early) or found.booked(early) == found.booked(late)


def test_times_are_utc():
    assert the(deleted(), tariffs()).began == datetime(2026, 9, 1, 12, 10, tzinfo=UTC)
    assert timedelta(minutes=6.5) == WIND_DOWN
