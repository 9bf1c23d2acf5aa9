"""The price book: what is in it, how yours overrides it, and how a broken one is refused."""

import re
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from watchdog.core.errors import ConfigurationError
from watchdog.core.profiles import AGENT_SESSION, HOSTINGS, WEBRTC_PARTICIPANT, profile_of
from watchdog.prices.book import OwnBook, check_book, load_book

TODAY = date(2026, 10, 1)

ENVELOPE = 'schema_version = 1\nbook_version = "mine"\ncurrency = "USD"\n'
ENTRY = """
[[prices]]
meter = "lk.agent_session"
plan = "ship"
unit = "min"
price = "0.008"
bills_when_idle = true
increment_s = 1
minimum_s = 10
effective_from = 2026-08-24
source = "our contract"
last_verified = 2026-10-01
confidence = "high"
"""


def book_at(directory: Path, text: str) -> Path:
    path = directory / "book.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize(
    ("meter", "plan", "price", "included"),
    [
        (AGENT_SESSION, "ship", "0.01", 5_000),
        (AGENT_SESSION, "scale", "0.01", 50_000),
        (AGENT_SESSION, "build", None, 1_000),
        (WEBRTC_PARTICIPANT, "ship", "0.0005", 150_000),
        (WEBRTC_PARTICIPANT, "scale", "0.0004", 1_500_000),
        (WEBRTC_PARTICIPANT, "build", None, 5_000),
    ],
)
def test_the_built_in_prices(meter: str, plan: str, price: str | None, included: int):
    entry = load_book().find(meter, plan, TODAY)
    assert entry is not None
    assert entry.price == (None if price is None else Decimal(price))
    assert (entry.unit, entry.increment_s, entry.minimum_s) == ("min", 1, 10)
    assert (entry.included, entry.confidence) == (included, "high")
    assert (entry.basis, entry.bills_when_idle) == ("connection_time", True)


def test_every_entry_says_where_it_is_from_and_when_that_was_checked():
    for entry in load_book().meters:
        livekits = entry.provider == "livekit"
        assert ("transcriptions of livekit.com/pricing" in entry.source) is livekits
        assert ("which page this one was read from is not recorded" in entry.source) is not livekits
        assert entry.effective_from <= entry.last_verified == date(2026, 9, 30)


def test_every_meter_of_a_profile_is_in_the_book_under_every_plan():
    book = load_book()
    for profile in map(profile_of, HOSTINGS):
        for meter in profile.meters:
            for plan in ("ship", "scale", "build"):
                assert book.find(meter, plan, TODAY), (profile.name, meter, plan)


def test_a_day_before_the_first_entry_has_no_price():
    assert load_book().find(AGENT_SESSION, "ship", date(2026, 8, 23)) is None
    assert load_book().find(AGENT_SESSION, "ship", date(2026, 8, 24)) is not None


def test_an_entry_of_yours_replaces_the_built_in_one_and_no_other(tmp_path: Path):
    built_in, mine = load_book(), load_book(book_at(tmp_path, ENVELOPE + ENTRY))
    entry = mine.find(AGENT_SESSION, "ship", TODAY)
    assert entry is not None
    assert (entry.price, entry.source) == (Decimal("0.008"), "our contract")
    assert mine.find(AGENT_SESSION, "scale", TODAY) == built_in.find(AGENT_SESSION, "scale", TODAY)
    assert len(mine.meters) == len(built_in.meters)
    assert mine.book_version == f"{built_in.book_version}+mine"


def test_what_you_add_is_a_meter_like_the_others(tmp_path: Path):
    added = ENTRY.replace("lk.agent_session", "acme.tts").replace('"ship"', '"list"')
    by_the_token = added.replace("acme.tts", "acme.llm.in").replace('"min"', '"1M tokens"')
    mine = load_book(book_at(tmp_path, ENVELOPE + added + by_the_token))
    for plan in ("ship", "scale", "build"):
        entry = mine.find("acme.tts", plan, TODAY)
        assert entry is not None
        assert (entry.provider, entry.basis, entry.plan) == ("acme", "connection_time", "list")
        assert entry.is_timed
        tokens = mine.find("acme.llm.in", plan, TODAY)
        assert tokens is not None
        assert (tokens.basis, tokens.is_timed, tokens.hourly) == ("tokens", False, 0)
    assert len(mine.meters) == len(load_book().meters) + 2


def test_a_price_under_the_plan_goes_before_the_list_price(tmp_path: Path):
    contract = ENTRY.replace("lk.agent_session", "deepgram.nova-3").replace(
        "source", "effective_to = 2026-11-01\nsource"
    )
    mine = load_book(book_at(tmp_path, ENVELOPE + contract))
    prices = {
        (plan, day): getattr(mine.find("deepgram.nova-3", plan, day), "price", None)
        for plan in ("ship", "scale")
        for day in (TODAY, date(2026, 11, 1))
    }
    assert prices == {
        ("ship", TODAY): Decimal("0.008"),
        ("ship", date(2026, 11, 1)): Decimal("0.0048"),
        ("scale", TODAY): Decimal("0.0048"),
        ("scale", date(2026, 11, 1)): Decimal("0.0048"),
    }


def test_what_holds_under_a_plan_on_a_day_is_each_meter_once():
    book = load_book()
    for plan in ("ship", "scale", "build"):
        under = book.under(plan, TODAY)
        assert [entry.meter for entry in under] == sorted({entry.meter for entry in book.meters})
        assert {entry.plan for entry in under} == {plan, "list"}
        assert all(book.find(entry.meter, plan, TODAY) == entry for entry in under)
    assert book.under("ship", date(2026, 8, 23)) == ()


def test_a_price_is_stale_from_the_day_the_book_says():
    book = load_book()
    [entry] = {e for e in book.meters if (e.meter, e.plan) == (AGENT_SESSION, "ship")}
    assert not book.is_stale(entry, date(2026, 12, 28))
    assert book.is_stale(entry, date(2026, 12, 29))


def test_a_book_can_be_checked_by_itself(tmp_path: Path):
    new = ENTRY.replace("lk.agent_session", "acme.tts").replace('"ship"', '"list"')
    in_scale = ENTRY.replace('"ship"', '"scale"')
    found = check_book(book_at(tmp_path, ENVELOPE + ENTRY + in_scale + new), TODAY)
    assert found == OwnBook("mine", 3, 2, ("acme.tts",), ())


def test_what_may_be_a_slip_is_said_and_not_refused(tmp_path: Path):
    misspelt = ENTRY.replace("lk.agent_session", "lk.agent_sesion")
    early = ENTRY.replace("last_verified = 2026", "last_verified = 2062")
    file = book_at(tmp_path, ENVELOPE + misspelt + early)
    assert check_book(file, TODAY).notes == (
        (
            "[[prices]] no. 1 (lk.agent_sesion, ship): meter: is new; if lk.agent_session is meant, "
            "the built-in price of that stays in force"
        ),
        "[[prices]] no. 2 (lk.agent_session, ship): last_verified: 2062-10-01 is yet to come",
    )
    assert load_book(file).find("lk.agent_sesion", "ship", TODAY) is not None


def test_a_broken_book_is_refused_by_the_check_as_by_the_program(tmp_path: Path):
    file = book_at(tmp_path, ENVELOPE + ENTRY.replace('"0.008"', '"-1"'))
    with pytest.raises(ConfigurationError) as checked:
        check_book(file, TODAY)
    with pytest.raises(ConfigurationError) as loaded:
        load_book(file)
    assert str(checked.value) == str(loaded.value)


def test_when_prices_are_stale_stands_in_the_book(tmp_path: Path):
    told = ENVELOPE + "stale_after_days = 30\n" + ENTRY
    assert load_book(book_at(tmp_path, told)).stale_after == timedelta(days=30)
    assert load_book(book_at(tmp_path, ENVELOPE + ENTRY)).stale_after == load_book().stale_after


def test_prices_can_follow_each_other(tmp_path: Path):
    first = ENTRY.replace("source", "effective_to = 2026-10-01\nsource")
    second = ENTRY.replace("2026-08-24", "2026-10-01").replace('"0.008"', '"0.009"')
    book = load_book(book_at(tmp_path, ENVELOPE + second + first))
    prices = {
        day: getattr(book.find(AGENT_SESSION, "ship", date(2026, *day)), "price", "none")
        for day in ((8, 23), (8, 24), (9, 30), (10, 1), (12, 31))
    }
    assert prices == {
        (8, 23): "none",
        (8, 24): Decimal("0.008"),
        (9, 30): Decimal("0.008"),
        (10, 1): Decimal("0.009"),
        (12, 31): Decimal("0.009"),
    }


def test_the_hash_is_that_of_what_the_book_says_not_of_how_it_is_written(tmp_path: Path):
    def content_hash(text: str) -> str:
        return load_book(book_at(tmp_path, text)).content_hash

    once = content_hash(ENVELOPE + ENTRY)
    assert len(once) == 64
    usual = 'basis = "connection_time"\nprovider = "livekit"\nfinal = false\n'
    assert once == content_hash("# a remark\n" + ENVELOPE + ENTRY + usual)
    assert once != content_hash(ENVELOPE + ENTRY.replace("0.008", "0.009"))
    assert once != content_hash(ENVELOPE + ENTRY.replace("minimum_s = 10", "minimum_s = 60"))
    assert once != load_book().content_hash
    assert load_book().content_hash == load_book().content_hash


UNITS = "min, connection-min, h, vCPU-h, GB-h, GB, 1M chars, 1M tokens"
HERE = "book.toml: [[prices]] no. 1 (lk.agent_session, ship): "
BROKEN = [
    ('price = "0.008"', 'price = "-0.008"', 'price: "-0.008" is negative; a price is 0 or more'),
    (
        'price = "0.008"',
        "price = 0.008",
        'price: 0.008 must be decimal text in quotes, like "0.0005"',
    ),
    (
        'price = "0.008"',
        'price = "8 cents"',
        'price: "8 cents" is no price; write decimal text like "0.0005", or "unpriced"',
    ),
    (
        'price = "0.008"',
        'price = "NaN"',
        'price: "NaN" is no price; write decimal text like "0.0005", or "unpriced"',
    ),
    (
        'price = "0.008"',
        'price = "1e-3"',
        'price: "1e-3" is no price; write decimal text like "0.0005", or "unpriced"',
    ),
    ('price = "0.008"\n', "", "price: is missing"),
    (
        'unit = "min"',
        'unit = "fortnight"',
        f'unit: "fortnight" is no known unit; use one of {UNITS}',
    ),
    (
        'unit = "min"',
        "unit = [60]",
        f"unit: is no known unit; use one of {UNITS}",
    ),
    (
        'plan = "ship"',
        'plan = "boat"',
        'plan: "boat" must be one of "ship", "scale", "build" or "list"',
    ),
    (
        "bills_when_idle = true",
        'bills_when_idle = "maybe"',
        'bills_when_idle: "maybe" must be true, false or "unknown"',
    ),
    ("increment_s = 1", "increment_s = 0", "increment_s: 0 must be at least 1"),
    ("increment_s = 1", "increment_s = true", "increment_s: true must be a whole number"),
    ("minimum_s = 10", "minimum_s = -1", "minimum_s: -1 must be at least 0"),
    (
        "last_verified = 2026-10-01",
        'last_verified = "yesterday"',
        'last_verified: "yesterday" must be a date like 2026-09-30',
    ),
    (
        "last_verified = 2026-10-01",
        "last_verified = 9999-12-31",
        "last_verified: must be at most 2999-12-31",
    ),
    ('source = "our contract"', 'source = ""', "source: must not be empty"),
    (
        'confidence = "high"',
        'confidence = "sure"',
        'confidence: "sure" must be one of "high", "medium" or "low"',
    ),
    (
        'confidence = "high"',
        'confidence = "high"\nmin_s = 3',
        'unknown key "min_s"; the nearest known one is minimum_s',
    ),
    (
        'unit = "min"',
        'unit = "1M tokens"\nbasis = "audio_time"',
        'basis: "audio_time" does not go with unit "1M tokens"; use "tokens"',
    ),
    (
        'unit = "min"',
        'unit = "min"\nbasis = "chars"',
        'basis: "chars" does not go with unit "min"; use "connection_time" or "audio_time" or "allocated"',
    ),
    (
        "minimum_s = 10",
        "minimum_s = 10\nfinal = true",
        "final: needs max_session_s, after which the session has ended for good",
    ),
    (
        "effective_from = 2026-08-24",
        "effective_from = 2026-08-24\neffective_to = 2026-08-24",
        "effective_to: 2026-08-24 is not after effective_from",
    ),
]


@pytest.mark.parametrize(("good", "bad", "sentence"), BROKEN)
def test_a_broken_entry_is_refused_with_one_clear_sentence(
    good: str, bad: str, sentence: str, tmp_path: Path
):
    assert good in ENTRY
    with pytest.raises(ConfigurationError) as refused:
        load_book(book_at(tmp_path, ENVELOPE + ENTRY.replace(good, bad)))
    message = str(refused.value).replace(f"{tmp_path}/", "")
    assert message == HERE.replace("ship", "boat" if "boat" in bad else "ship") + sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            ENVELOPE + ENTRY + ENTRY,
            (
                "book.toml: [[prices]] no. 2 (lk.agent_session, ship): effective_from: its days "
                "overlap with those of no. 1; give the earlier one an effective_to"
            ),
        ),
        (
            ENVELOPE + ENTRY.replace("lk.agent_session", "an agent"),
            (
                'book.toml: [[prices]] no. 1 (an agent, ship): meter: "an agent" must be 1 to 64 of '
                "A-Z a-z 0-9 . _ -"
            ),
        ),
        (
            ENVELOPE + ENTRY.replace('"ship"', '"list"'),
            (
                'book.toml: [[prices]] no. 1 (lk.agent_session, list): plan: "list" is never used for '
                'this meter, which has a price under each plan; write "ship", "scale" or "build"'
            ),
        ),
        (
            ENVELOPE.replace("USD", "EUR") + ENTRY,
            'book.toml: currency: "EUR" must be one of "USD"',
        ),
        (
            ENVELOPE.replace("= 1", "= 2") + ENTRY,
            "book.toml: schema_version: 2 must be one of 1",
        ),
        (
            'book_versoin = "1"\n' + ENVELOPE + ENTRY,
            'book.toml: unknown key "book_versoin"; the nearest known one is book_version',
        ),
        (ENVELOPE, "book.toml: prices: is missing"),
        (ENVELOPE + "prices = 3", "book.toml: prices: 3 must be a list"),
        (
            ENVELOPE + "prices = [3]",
            "book.toml: [[prices]] no. 1: 3 must be a table of settings",
        ),
        ("currency =", "book.toml: line 1, column 11: not valid TOML: Invalid value"),
    ],
)
def test_a_broken_book_is_refused_with_one_clear_sentence(text: str, sentence: str, tmp_path: Path):
    with pytest.raises(ConfigurationError) as refused:
        load_book(book_at(tmp_path, text))
    assert str(refused.value).replace(f"{tmp_path}/", "") == sentence
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


def test_a_book_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError) as refused:
        load_book(tmp_path / "gone.toml")
    assert str(refused.value) == (
        f"{tmp_path}/gone.toml: the price book does not exist; check the path"
    )


ODD_VALUES = [
    *("0", "-1", "1.5", "nan", "true", '""', '"x"', r'"\u0000"', "[]", "[1]", "{}", "{x = 1}"),
    *("2026-10-01", "12:00:00", "2026-10-01T00:00:00", "2026-10-01T12:00:00Z", "9" * 4000),
]


@pytest.mark.parametrize("key", [line.split(" = ")[0] for line in ENTRY.splitlines()[2:]])
@pytest.mark.parametrize("value", ODD_VALUES)
def test_an_odd_value_is_accepted_or_refused_under_its_key_but_never_crashes(
    key: str, value: str, tmp_path: Path
):
    entry = re.sub(rf"^{key} = .*$", lambda _: f"{key} = {value}", ENTRY, flags=re.MULTILINE)
    file = book_at(tmp_path, ENVELOPE + entry)
    try:
        book = load_book(file)
    except ConfigurationError as error:
        told = str(error)
    else:
        told = ""
        assert all(type(meter.effective_from) is date for meter in book.meters)
    assert told == "" or f": {key}: " in told
