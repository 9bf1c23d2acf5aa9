"""An episode's bill by day: nothing is lost in dividing."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from tests.expose.builders import at, episode
from tests.store.builders import LINE as STORED
from watchdog.core.days import day_counts, day_lines
from watchdog.core.spend import Spend

LINE = replace(
    STORED,
    seconds=Decimal(1000),
    spend=Spend(Decimal("1.23"), Decimal("4.56"), Decimal("0.1")),
)


def test_an_episode_over_two_midnights_is_shared_by_time():
    one = episode(began=0, gone=2 * 86400)  # from noon to noon
    parts = list(day_lines(one, (LINE,), at(0)))
    assert [part.key.day for part in parts] == [date(2026, 9, d) for d in (1, 2, 3)]
    assert [part.line.spend.low for part in parts] == [
        Decimal("0.3075"),
        Decimal("0.615"),
        Decimal("0.3075"),
    ]
    counts = list(day_counts(one, at(0)))
    assert [count.episodes for count in counts] == [1, 0, 0]
    assert [count.orphaned_seconds for count in counts] == [43200, 86400, 43200]


def test_an_open_episode_counts_until_the_moment_asked_about():
    (part,) = day_lines(episode(began=0), (LINE,), at(60))
    assert part.line == LINE
    assert (part.key.close_reason, part.key.agent_name) == ("", "support")
    (count,) = day_counts(episode(began=0, person_seen=False), at(60))
    assert (count.never_attended, count.orphaned_seconds) == (1, 60)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 1), timezones=st.just(UTC)),
    st.timedeltas(timedelta(0), timedelta(days=9)),
    st.decimals(0, 10**6, places=9),
)
def test_the_days_add_up_to_the_whole(start: datetime, lasted: timedelta, amount: Decimal):
    began = (start - at(0)).total_seconds()
    one = episode(began=began, gone=began + lasted.total_seconds())
    line = replace(LINE, spend=Spend(amount, amount, amount))
    parts = list(day_lines(one, (line,), at(0)))
    for field in ("low", "high", "unverified"):
        assert sum(getattr(part.line.spend, field) for part in parts) == amount
        assert all(getattr(part.line.spend, field) >= 0 for part in parts)
    assert sum(part.line.seconds for part in parts) == LINE.seconds
    assert len({part.key.day for part in parts}) == len(parts)
