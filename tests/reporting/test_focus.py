"""The FOCUS-shaped CSV: what stands in which column, and that pandas reads it."""

import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pandas as pd
import pytest
from pandas.api.types import is_float_dtype, is_numeric_dtype, is_string_dtype

from tests.expose.builders import NASTY, at
from tests.reporting.bills import case, line, rolled, still_open, unpriced
from watchdog.reporting.entries import Entry, entries_of, rolled_entries
from watchdog.reporting.focus import COLUMNS, write_focus
from watchdog.reporting.report import Tally
from watchdog.reporting.window import Window

DAY = 86400
TIMES = ("ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd")
NUMBERS = (
    "BilledCost",
    "EffectiveCost",
    "ListCost",
    "ContractedCost",
    "ListUnitPrice",
    "PricingQuantity",
    "ConsumedQuantity",
    "x_HighCost",
    "x_HighQuantity",
    "x_UnverifiedCost",
)
MONEY = ("BilledCost", "ListCost", "EffectiveCost", "x_HighCost", "x_UnverifiedCost")
HISTORY = (
    case(1, [line("0.123456789", "1"), line("2", meter="tavus.cvi.starter", plan="list")]),
    case(2, [line("8", "9.1"), unpriced()], began=0, gone=2 * DAY + 0.25),
    still_open(3, [line("0.333333333", "0.5", agent_name="other")], upto=77, policy=""),
)
OLD = [rolled("2026-08-31", line("2", "3", profile="self-hosted-on-cloud"))]


def written(*lots, **more) -> str:
    out = io.StringIO()
    write_focus([entry for lot in lots for entry in lot], out, **more)
    return out.getvalue()


def bill(window: Window = Window(), **more) -> str:  # noqa: B008
    return written(*(entries_of(c, window) for c in HISTORY), rolled_entries(OLD, window), **more)


def loaded(text: str) -> pd.DataFrame:
    """As a finance team would load it."""
    return pd.read_csv(io.StringIO(text), parse_dates=list(TIMES))


def exact(text: str) -> pd.DataFrame:
    """Every number as it is written."""
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def row(entry: Entry, **more) -> dict[str, str]:
    return exact(written([entry], **more)).iloc[0].to_dict()


def only(*lines, **more) -> Entry:
    (entry,) = entries_of(case(1, lines, **more), Window())
    return entry


# ---- pandas ----------------------------------------------------------------------------------------


def test_pandas_reads_it_with_the_right_types():
    frame = loaded(bill())
    assert list(frame.columns) == list(COLUMNS)
    assert len(frame) == 2 + 2 * 3 + 1 + 1
    for name in TIMES:
        assert isinstance(frame[name].dtype, pd.DatetimeTZDtype), name
        assert str(frame[name].dt.tz) == "UTC"
    for name in NUMBERS:
        assert is_numeric_dtype(frame[name]), name
    for name in set(COLUMNS) - set(TIMES) - set(NUMBERS):
        assert is_string_dtype(frame[name]), name
    assert is_float_dtype(frame["ListCost"])
    assert (frame["ChargePeriodStart"] < frame["ChargePeriodEnd"]).all()


@pytest.mark.parametrize(
    "window", [Window(), Window(at(50), at(DAY)), Window(at(-DAY), at(33)), Window(at(DAY + 7))]
)
def test_its_sums_equal_the_report_s(window):
    tally = Tally(window)
    for one in HISTORY:
        tally.case(one)
    tally.rolled(OLD, ())
    spend = tally.report().totals.spend
    text = bill(window)
    digits = exact(text)
    sums = {name: sum(Decimal(cell or 0) for cell in digits[name]) for name in MONEY}
    assert sums == {
        "BilledCost": 0,
        "ListCost": spend.low,
        "EffectiveCost": spend.low,
        "x_HighCost": spend.high,
        "x_UnverifiedCost": spend.unverified,
    }
    assert loaded(text)["ListCost"].sum() == pytest.approx(float(spend.low), abs=1e-9)


def test_a_cost_is_its_price_times_its_quantity():
    frame = loaded(bill())
    priced = frame[frame["ListUnitPrice"].notna()]
    product = priced["ListUnitPrice"] * priced["PricingQuantity"]
    assert (product - priced["ListCost"]).abs().max() < 1e-8


def test_an_empty_bill_has_its_columns():
    assert list(loaded(written()).columns) == list(COLUMNS)


# ---- what stands in it -----------------------------------------------------------------------------


def test_a_row_says_what_was_charged_for_whom_and_how_sure_that_is():
    found = row(only(line("1", "1.5", seconds=150), room="call-7"))
    tags = json.loads(found.pop("Tags"))
    assert tags == {
        "agent_name": "support",
        "profile": "cloud-hosted",
        "plan": "ship",
        "room_name": "call-7",
    }
    assert found == {
        "BilledCost": "0",
        "EffectiveCost": "1",
        "ListCost": "1",
        "ContractedCost": "1",
        "ListUnitPrice": "0.60",
        "PricingQuantity": "1.666666667",
        "PricingUnit": "Minutes",
        "ConsumedQuantity": "1.666666667",
        "ConsumedUnit": "Minutes",
        "ChargePeriodStart": "2026-09-01T12:00:00Z",
        "ChargePeriodEnd": "2026-09-01T12:01:40Z",
        "BillingPeriodStart": "2026-09-01T00:00:00Z",
        "BillingPeriodEnd": "2026-10-01T00:00:00Z",
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargeDescription": "Estimate: lk.agent_session while only agents were in the room",
        "ServiceName": "LiveKit Cloud",
        "ServiceCategory": "Media",
        "ProviderName": "LiveKit",
        "PublisherName": "LiveKit",
        "InvoiceIssuerName": "LiveKit",
        "SkuId": "lk.agent_session",
        "ResourceId": "RM_1",
        "ResourceName": "call-7",
        "ResourceType": "Room",
        "SubAccountId": "prod",
        "SubAccountName": "prod",
        "x_HighCost": "1.5",
        "x_HighQuantity": "2.500000000",
        "x_UnverifiedCost": "0",
        "x_Estimate": "booked",
        "x_PriceBookVersion": "2026-09-30",
        "x_Policy": "default",
        "x_CloseReason": "person_returned",
    }


@pytest.mark.parametrize(
    ("meter", "unit", "said"),
    [
        ("lk.inference.stt.x", "connection-min", ("LiveKit", "LiveKit Inference", "AI and Machine Learning")),
        ("deepgram.nova-3", "min", ("Deepgram", "Deepgram", "AI and Machine Learning")),
        ("compute.fargate.vcpu", "vCPU-h", ("AWS", "AWS", "Compute")),
        ("acme.tts", "h", ("acme", "acme", "Other")),
    ],
)  # fmt: skip
def test_who_bills_it_is_known_by_the_meter(meter, unit, said):
    found = row(only(line(meter=meter, unit=unit)))
    assert tuple(found[k] for k in ("ProviderName", "ServiceName", "ServiceCategory")) == said
    assert found["PricingUnit"].endswith(("Minutes", "Hours"))


def test_what_has_no_price_has_no_cost_either_but_a_quantity():
    found = row(only(unpriced(seconds=90)))
    for empty in ("ListCost", "EffectiveCost", "ListUnitPrice", "PricingQuantity", "x_HighCost"):
        assert found[empty] == ""
    assert found["ConsumedQuantity"] == "1.500000000"


def test_history_that_was_rolled_up_has_days_and_no_rooms():
    (entry,) = rolled_entries(OLD, Window())
    found = row(entry)
    assert [found[k] for k in ("ResourceId", "ResourceName", "ResourceType")] == ["", "", ""]
    assert found["ChargePeriodStart"] == "2026-08-31T00:00:00Z"
    assert found["ChargePeriodEnd"] == "2026-09-01T00:00:00Z"
    assert "room_name" not in json.loads(found["Tags"])


def test_a_charge_lasts_whole_seconds_and_at_least_one():
    inside = row(only(line(), began=0.5, gone=0.75))
    assert inside["ChargePeriodStart"] == "2026-09-01T12:00:00Z"
    assert inside["ChargePeriodEnd"] == "2026-09-01T12:00:01Z"


def test_an_open_episode_says_that_it_is_reckoned_and_has_no_close_reason():
    (entry,) = entries_of(HISTORY[2], Window())
    found = row(entry)
    assert (found["x_Estimate"], found["x_CloseReason"], found["x_Policy"]) == ("running", "", "")


def test_a_room_s_name_is_shown_as_far_as_it_may_be():
    found = row(only(line(), room="+4930123456"), private=lambda _: "***")
    assert found["ResourceName"] == "***"
    assert json.loads(found["Tags"])["room_name"] == "***"
    assert "4930" not in str(found)


@pytest.mark.parametrize("name", ["=1+1", "+49", "-2", "@x", "\t=1", "\r=1"])
def test_a_name_is_no_formula_to_a_spreadsheet_and_stands_exactly_in_the_tags(name):
    found = row(only(line(agent_name=name), room=name))
    assert found["ResourceName"] == "'" + name.replace("\r", " ")
    tags = json.loads(found["Tags"])
    assert (tags["room_name"], tags["agent_name"]) == (name, name)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in found.values())


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_no_name_breaks_a_row(name):
    shown = name.encode("utf-8", "replace").decode()
    text = written([only(line(), room=shown)])
    assert len(exact(text)) == 1
    assert exact(text).iloc[0]["ResourceId"] == "RM_1"


def test_another_version_is_another_table_of_names():
    newer = {"ServiceProviderName": COLUMNS["ProviderName"], "Start": COLUMNS["ChargePeriodStart"]}
    text = written([only(line())], columns=newer)
    assert text == "ServiceProviderName,Start\nLiveKit,2026-09-01T12:00:00Z\n"


def test_times_are_in_utc():
    assert loaded(bill())["ChargePeriodStart"].min() == datetime(2026, 8, 31, tzinfo=UTC)
