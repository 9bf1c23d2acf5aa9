"""Money, time and JSON as people and programs read them."""

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tests.expose.builders import NASTY, at, closed, episode, orphan, usd
from watchdog.core.policy import Action
from watchdog.expose.formats import (
    due_text,
    duration,
    episode_json,
    iso,
    money,
    money_range,
    orphan_json,
    spend_text,
    wall_seconds,
)
from watchdog.expose.labels import RoomNames


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("0.00001", "<$0.0001"),
        ("0.0123", "$0.0123"),
        ("0.5", "$0.50"),
        ("0.125", "$0.125"),
        ("12.3456", "$12.35"),
        ("1234567", "$1,234,567.00"),
    ],
)
def test_money_has_two_to_four_places(amount, text):
    assert money(Decimal(amount)) == text


def test_a_range_of_one_value_is_one_value():
    assert money_range(Decimal("0.5"), Decimal("0.50")) == "$0.50"
    assert money_range(Decimal("0.5"), Decimal("0.75")) == "$0.50 to $0.75"


def test_unpriced_is_said_and_never_zero():
    assert spend_text(usd("0"), unpriced=True) == "unpriced"
    assert spend_text(usd("0.5"), unpriced=True) == "$0.50 + unpriced"
    assert spend_text(usd("0")) == "$0.00"


def test_unverified_spend_stands_apart():
    assert spend_text(usd("0.5", "0.6", "0.2")) == "$0.50 to $0.60 + $0.20 unverified"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0s"),
        (59.9, "59s"),
        (200, "3m 20s"),
        (7500, "2h 05m"),
        (97200, "1d 03h"),
    ],
)
def test_durations_have_two_units(seconds, text):
    assert duration(seconds) == text


def test_times_are_utc_whatever_zone_they_came_in():
    berlin = timezone(timedelta(hours=2))
    assert iso(datetime(2026, 9, 1, 14, 0, 0, 5000, tzinfo=berlin)) == "2026-09-01T12:00:00.005Z"
    assert iso(None) is None


def test_how_long_an_episode_lasted_is_never_negative():
    assert wall_seconds(closed(lasted=200).episode) == 200
    assert wall_seconds(episode(began=100, gone=40)) == 0  # the wall clock was set back


def test_an_orphan_as_json_has_decimals_as_text_and_times_in_utc():
    answer = orphan_json(orphan(age=90.12345, spend=usd("0.000000123", "1E+2")))
    assert answer["spend"] == {"low_usd": "0.000000123", "high_usd": "100", "unverified_usd": "0"}
    assert answer["spend_is_complete"] is True
    assert answer["age_seconds"] == 90.123
    assert answer["episode"]["bounds"] == {
        "last_attended_at": "2026-09-01T11:59:45.000Z",
        "first_orphaned_at": "2026-09-01T12:00:00.000Z",
        "last_seen_orphaned_at": "2026-09-01T12:00:00.000Z",
        "first_gone_at": None,
    }


def test_an_unpriced_agent_makes_the_spend_incomplete():
    answer = orphan_json(orphan(agent="avatar"), unpriced=lambda _, name: name == "avatar")
    assert answer["spend_is_complete"] is False


def test_room_names_in_json_follow_the_privacy_policy_where_one_is_given():
    view = orphan(room="call-+4917612345678")
    assert orphan_json(view)["episode"]["room_name"] == "call-+4917612345678"
    masked = orphan_json(view, RoomNames("masked"))
    assert "4917612345678" not in json.dumps(masked)


def test_an_episode_as_json_tells_how_it_ended():
    answer = episode_json(episode(gone=200, stranded_since=at(50)))
    assert answer["close_reason"] == "person_returned"
    assert answer["stranded_since"] == "2026-09-01T12:00:50.000Z"
    assert answer["agents"][0]["bounds"]["first_gone_at"] == "2026-09-01T12:03:20.000Z"


@pytest.mark.trap("T45")
@pytest.mark.parametrize("text", NASTY)
def test_t45_any_name_survives_json(text):
    view = orphan(room=text, agent=text, reason=text)
    sent = json.dumps(orphan_json(view), ensure_ascii=False).encode("utf-8")
    room = json.loads(sent)["episode"]["room_name"]
    assert room == text.replace("\ud800", "\\ud800")


def test_when_a_room_is_due_reads_in_a_few_words():
    assert due_text(orphan(age=90)) == ""
    assert due_text(orphan(age=90, policy="default", due_age=600)) == "in 8m 30s (default)"
    assert due_text(orphan(age=600, policy="default", due_age=600)) == "now (default)"
    assert due_text(orphan(age=900, policy="vip", action=Action.KEEP)) == "kept (vip)"


def test_an_orphan_as_json_tells_when_it_is_due_and_why():
    answer = orphan_json(orphan(age=90, policy="default", due_age=600))
    assert (answer["policy"], answer["due"], answer["due_age_seconds"]) == ("default", False, 600)
    assert answer["why_due"] == "the policy's grace"
    assert orphan_json(orphan(age=90))["due_age_seconds"] is None
