"""What the built-in book says, against the figures as they were noted, written down here once more."""

import tomllib
from datetime import date
from decimal import Decimal
from importlib import resources
from typing import Any

import pytest

from tests.prices.sums import billed
from watchdog.core.pricebook import Meter
from watchdog.prices.book import load_book
from watchdog.prices.schema import Entry

TODAY = date(2026, 10, 1)

# meter, unit, price under Ship and Scale, included in Build / Ship / Scale, idle, confidence.
# "-" is no price, no number of units, or an idle behaviour that nobody knows.
LIVEKIT = """
lk.agent_session                          min             0.01    0.01    1000/5000/50000      yes  high
lk.webrtc_participant                     min             0.0005  0.0004  5000/150000/1500000  yes  high
lk.downstream                             GB              0.12    0.10    50/250/3000          -    high
lk.sip.third_party                        min             0.004   0.003   1000/5000/50000      yes  high
lk.sip.us_local_in                        min             0.01    0.01    50/100/1000          yes  medium
lk.sip.us_tollfree_in                     min             0.02    0.02    -                    yes  medium
lk.egress.composite.video                 min             0.02    0.015   60/600/8000          yes  high
lk.egress.composite.audio                 min             0.005   0.004   -                    yes  high
lk.egress.track                           min             0.001   0.001   60/600/8000          yes  high
lk.ingress                                min             -       -       -                    yes  low
lk.inference.stt.deepgram-nova-3          connection-min  0.0048  0.0042  -                    yes  high
lk.inference.stt.deepgram-nova-3-multi    connection-min  0.0058  0.0050  -                    yes  high
lk.inference.stt.deepgram-flux            connection-min  0.0065  0.0057  -                    yes  high
lk.inference.stt.assemblyai-universal     connection-min  0.0025  0.0025  -                    yes  high
lk.inference.stt.cartesia-ink             connection-min  0.0030  0.0023  -                    yes  high
lk.inference.tts.cartesia-sonic-3         1M_chars        50      37.50   -                    no   high
lk.inference.tts.deepgram-aura-2          1M_chars        30      27      -                    no   high
lk.inference.llm.gpt-4o-mini.in           1M_tokens       0.15    0.15    -                    no   high
lk.inference.llm.gpt-4o-mini.out          1M_tokens       0.60    0.60    -                    no   high
lk.inference.llm.gpt-4.1.in               1M_tokens       2       2       -                    no   high
lk.inference.llm.gpt-4.1.out              1M_tokens       8       8       -                    no   high
"""

# meter, provider, unit, price, basis, idle, the longest session in seconds, confidence.
DIRECT = """
deepgram.nova-3                 deepgram    min        0.0048    audio_time       no   -      high
assemblyai.universal-streaming  assemblyai  h          0.15      connection_time  yes  10800  high
google.stt-v2                   google      min        0.016     audio_time       no   -      low
azure.speech-realtime           azure       h          1.00      audio_time       -    -      low
cartesia.ink                    cartesia    min        0.003     audio_time       -    -      low
elevenlabs.flash-v2.5           elevenlabs  1M_chars   50        chars            no   -      medium
elevenlabs.scribe               elevenlabs  h          0.22      audio_time       -    -      low
openai.gpt-realtime.in          openai      1M_tokens  32        tokens           no   -      high
openai.gpt-realtime.out         openai      1M_tokens  64        tokens           no   -      high
gemini.live.in                  google      1M_tokens  3         tokens           no   -      medium
gemini.live.out                 google      1M_tokens  12        tokens           no   -      medium
tavus.cvi.starter               tavus       min        0.37      connection_time  yes  3600   medium
tavus.cvi.growth                tavus       min        0.32      connection_time  yes  3600   medium
anam.avatar                     anam        min        0.16      connection_time  yes  -      medium
bithuman.cloud.low              bithuman    min        0.022     connection_time  -    -      low
bithuman.cloud.high             bithuman    min        0.044     connection_time  -    -      low
simli.avatar                    simli       min        -         connection_time  -    600    low
compute.fargate.vcpu            aws         vCPU-h     0.04048   allocated        yes  -      high
compute.fargate.gb              aws         GB-h       0.004445  allocated        yes  -      high
"""

BILLED_FROM_10_SECONDS = ("lk.agent_session", "lk.webrtc_participant", "lk.sip.")
ALWAYS = {
    *("meter", "provider", "plan", "unit", "price", "currency", "basis", "bills_when_idle"),
    *(
        "increment_s",
        "minimum_s",
        "effective_from",
        "source",
        "last_verified",
        "confidence",
        "notes",
    ),
}
WHERE_THERE_IS_ONE = {"max_session_s", "included", "effective_to", "final"}


def lines(table: str) -> list[list[str]]:
    def words(line: str) -> list[str]:
        return [w.replace("_chars", " chars").replace("_tokens", " tokens") for w in line.split()]

    return [words(line) for line in table.strip().splitlines()]


def price(text: str) -> Decimal | None:
    return None if text == "-" else Decimal(text)


def idle(text: str) -> bool | None:
    return {"yes": True, "no": False, "-": None}[text]


def found(meter: str, plan: str) -> Meter:
    entry = load_book().find(meter, plan, TODAY)
    assert entry is not None, (meter, plan)
    return entry


@pytest.mark.parametrize("line", lines(LIVEKIT), ids=lambda line: line[0])
def test_what_livekit_bills_has_a_price_under_each_plan(line: list[str]):
    name, unit, ship, scale, included, runs, confidence = line
    amounts = ["-"] * 3 if included == "-" else included.split("/")
    prices = {"build": "-", "ship": ship, "scale": scale}
    minimum = 10 if name.startswith(BILLED_FROM_10_SECONDS) else 0
    basis = {"GB": "bytes", "1M chars": "chars", "1M tokens": "tokens"}.get(unit, "connection_time")
    for (plan, amount), has in zip(prices.items(), amounts, strict=True):
        entry = found(name, plan)
        assert entry.plan == plan
        assert (entry.unit, entry.price) == (unit, price(amount)), plan
        assert entry.included == (None if has == "-" else int(has)), plan
        assert (entry.bills_when_idle, entry.confidence) == (idle(runs), confidence)
        assert (entry.increment_s, entry.minimum_s) == (1, minimum)
        assert (entry.provider, entry.basis) == ("livekit", basis)
        assert (entry.max_session_s, entry.final) == (None, False)


@pytest.mark.parametrize("line", lines(DIRECT), ids=lambda line: line[0])
@pytest.mark.parametrize("plan", ["ship", "scale", "build"])
def test_what_others_bill_has_one_price_under_every_plan(line: list[str], plan: str):
    name, provider, unit, amount, basis, runs, longest, confidence = line
    entry = found(name, plan)
    assert (entry.plan, entry.provider, entry.basis) == ("list", provider, basis)
    assert (entry.unit, entry.price) == (unit, price(amount))
    assert (entry.bills_when_idle, entry.confidence) == (idle(runs), confidence)
    assert entry.max_session_s == (None if longest == "-" else int(longest))
    assert (entry.increment_s, entry.minimum_s, entry.included, entry.final) == (1, 0, None, False)


def test_nothing_else_is_in_the_book_and_nothing_twice():
    expected = [(line[0], plan) for line in lines(LIVEKIT) for plan in ("build", "scale", "ship")]
    expected += [(line[0], "list") for line in lines(DIRECT)]
    assert [(entry.meter, entry.plan) for entry in load_book().meters] == sorted(expected)


def written() -> list[dict[str, Any]]:
    text = resources.files("watchdog.prices").joinpath("book.toml").read_text("utf-8")
    entries: list[dict[str, Any]] = tomllib.loads(text)["prices"]
    return entries


def test_every_entry_is_written_out_with_all_its_fields_in_one_order():
    order = list(Entry.model_fields)
    for entry in written():
        assert set(entry) - WHERE_THERE_IS_ONE == ALWAYS, entry["meter"]
        assert [key for key in order if key in entry] == list(entry), entry["meter"]
        assert entry["notes"]
        assert entry["currency"] == "USD"


def test_prices_are_written_as_text():
    assert {type(entry["price"]) for entry in written()} == {str}


@pytest.mark.parametrize(
    ("meter", "word"),
    [
        ("lk.inference.stt.deepgram-nova-3", "credits"),
        ("lk.egress.composite.audio", "pool"),
        ("lk.ingress", "pool"),
        ("bithuman.cloud.low", "Sources conflict"),
        ("bithuman.cloud.high", "Sources conflict"),
        ("google.stt-v2", "assumed"),
        ("anam.avatar", "assumed"),
        ("gemini.live.in", "streams silence"),
        ("simli.avatar", "30 s"),
    ],
)
def test_what_a_number_cannot_say_stands_in_the_notes(meter: str, word: str):
    assert word in found(meter, "ship").notes


def test_plan_build_says_that_its_allowance_is_a_hard_cap():
    for entry in load_book().meters:
        if entry.plan == "build":
            assert entry.notes.startswith("Build has no price beyond what it includes"), entry.meter


@pytest.mark.parametrize(
    ("meters", "hour"),
    [
        (("lk.agent_session", "lk.inference.stt.deepgram-nova-3"), "0.888"),
        (("lk.webrtc_participant",), "0.03"),
        (("lk.webrtc_participant", "assemblyai.universal-streaming"), "0.18"),
        (("lk.webrtc_participant", "lk.webrtc_participant", "tavus.cvi.starter"), "22.26"),
        (("tavus.cvi.starter",), "22.20"),
        (("compute.fargate.vcpu",), "0.04048"),
        (("compute.fargate.gb",), "0.004445"),
    ],
)
def test_a_worked_hour_under_plan_ship(meters: tuple[str, ...], hour: str):
    entries = [found(name, "ship") for name in meters]
    assert sum(billed(entry, Decimal(3600)) for entry in entries) == Decimal(hour)
    assert sum(entry.hourly for entry in entries) == Decimal(hour)


def test_what_cannot_be_seen_from_outside_has_a_price_and_no_hourly_cost():
    unseen = [entry for entry in load_book().meters if not entry.is_timed]
    assert {entry.unit for entry in unseen} == {"GB", "1M chars", "1M tokens"}
    assert {entry.hourly for entry in unseen} == {0}
    assert {entry.bills_when_idle for entry in unseen} == {False, None}


def test_silence_streamed_to_gemini_costs_what_the_notes_say():
    tokens_a_minute = 25 * 60
    entry = found("gemini.live.in", "ship")
    assert entry.price is not None
    cost = entry.price * tokens_a_minute / 1_000_000
    assert f"about {cost:f} USD" in entry.notes
