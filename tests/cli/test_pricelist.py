"""`prices` shows the book that is used, `prices check` reads one of yours: by command."""

import re
from pathlib import Path

import pytest

from tests.cli.program import ROOT
from watchdog.prices.book import load_book

BOOK = """
schema_version = 1
book_version = "ours"
currency = "USD"

[[prices]]
meter = "lk.agent_session"
plan = "ship"
unit = "min"
price = "0.008"
bills_when_idle = true
increment_s = 1
minimum_s = 10
effective_from = 2020-01-01
source = "our contract"
last_verified = 2020-01-01
confidence = "high"
"""
ENTRY = BOOK.partition("\n\n")[2]
NEW = ENTRY.replace("lk.agent_session", "acme.tts").replace('"ship"', '"list"')


def lines(out: str) -> dict[str, list[str]]:
    """The table's lines as words, by meter."""
    rows = [re.split(r" {2,}", line.strip()) for line in out.splitlines()[2:] if "  " in line]
    return {row[0]: row[1:] for row in rows}


def book(program, text: str = BOOK, name: str = "book.toml") -> str:
    (program.directory / name).write_text(text, "utf-8")
    return name


# ---- prices ----------------------------------------------------------------------------------------


def test_the_book_is_shown_without_a_project_or_a_file(bare):
    result = bare("prices")
    assert (result.code, result.err) == (0, "")
    first, heads, *_, last = result.out.splitlines()
    built_in = load_book()
    assert first == (
        f"book {built_in.book_version} ({built_in.content_hash[:12]}), plan ship, today, USD"
    )
    assert heads.split() == ["meter", "price", "unit", "idle", "verified", "confidence"]
    assert last == (
        "These are list prices, LiveKit's for use beyond what a plan includes: check them against "
        "your own bill."
    )
    rows = lines(result.out)
    assert sorted(rows) == sorted({entry.meter for entry in built_in.meters})
    assert [row[:3] for name, row in rows.items() if name in SOME] == list(SOME.values())
    assert rows["lk.agent_session"][4] == "high"
    assert rows["lk.agent_session"][3].startswith("2026-09-30")
    assert not list(bare.directory.iterdir())


SOME = {
    "deepgram.nova-3": ["0.0048", "min", "no"],
    "lk.agent_session": ["0.01", "min", "yes"],
    "lk.downstream": ["0.12", "GB", "unknown"],
    "lk.ingress": ["unpriced", "min", "yes"],
    "lk.webrtc_participant": ["0.0005", "min", "yes"],
}


def test_the_plan_is_the_configured_one_or_the_one_given(bare):
    scale = bare.with_(WATCHDOG_PRICES__PLAN="scale")
    assert lines(scale("prices").out)["lk.webrtc_participant"][0] == "0.0004"
    (bare.directory / "other.toml").write_text('[prices]\nplan = "scale"\n')
    assert "plan scale" in bare("prices", "--config", "other.toml").out
    build = lines(scale("prices", "--plan", "build").out)
    assert build["lk.webrtc_participant"][0] == "unpriced"
    assert build["tavus.cvi.starter"][0] == "0.37"


def test_all_shows_every_plan_and_when_each_price_holds(bare):
    ended = BOOK.replace("source", "effective_to = 2020-07-01\nsource")
    result = bare.with_(WATCHDOG_PRICES__BOOK=book(bare, ended))("prices", "--all")
    assert result.out.splitlines()[0].endswith(", every plan and day, USD")
    rows = [re.split(r" {2,}", line.strip()) for line in result.out.splitlines()]
    sessions = [row[1:3] + row[-1:] for row in rows if row[0] == "lk.agent_session"]
    assert sessions == [
        ["build", "unpriced", "from 2026-08-24"],
        ["scale", "0.01", "from 2026-08-24"],
        ["ship", "0.008", "2020-01-01 until 2020-06-30"],
    ]
    assert len(lines(result.out)) == len({entry.meter for entry in load_book().meters})


def test_your_own_book_is_in_it_and_what_is_stale_is_marked(bare):
    ours = bare.with_(WATCHDOG_PRICES__BOOK=book(bare, BOOK + NEW))
    out = ours("prices").out
    assert re.match(r"book 2026-09-30\+ours \([0-9a-f]{12}\), plan ship, today, USD\n", out)
    rows = lines(out)
    assert rows["lk.agent_session"] == ["0.008", "min", "yes", "2020-01-01 stale", "high"]
    assert rows["acme.tts"] == ["0.008", "min", "yes", "2020-01-01 stale", "high"]
    assert re.search(
        r"^Stale, since verified 90 days ago or longer: \d+ of 41 prices\.$", out, re.MULTILINE
    )


def test_programs_get_every_field_of_every_entry(bare):
    ours = bare.with_(WATCHDOG_PRICES__BOOK=book(bare))
    found = ours("prices", "--json").json
    used = load_book(bare.directory / "book.toml")
    assert found["book_version"] == used.book_version
    assert found["content_hash"] == used.content_hash
    assert Path(found["own_book"]).name == "book.toml"
    assert (found["plan"], found["currency"], found["stale_after_days"]) == ("ship", "USD", 90)
    prices = {entry["meter"]: entry for entry in found["prices"]}
    assert prices["lk.agent_session"] == {
        "meter": "lk.agent_session",
        "provider": "livekit",
        "plan": "ship",
        "unit": "min",
        "price": "0.008",
        "currency": "USD",
        "basis": "connection_time",
        "bills_when_idle": True,
        "increment_s": 1,
        "minimum_s": 10,
        "max_session_s": None,
        "final": False,
        "included": None,
        "effective_from": "2020-01-01",
        "effective_to": None,
        "source": "our contract",
        "last_verified": "2020-01-01",
        "confidence": "high",
        "notes": "",
        "stale": True,
    }
    assert prices["simli.avatar"]["price"] == "unpriced"
    assert prices["cartesia.ink"]["bills_when_idle"] == "unknown"
    everything = bare("prices", "--all", "--json").json
    assert everything["plan"] is None
    assert everything["own_book"] is None
    assert len(everything["prices"]) == len(load_book().meters)


def test_what_excludes_each_other_is_refused(bare):
    result = bare("prices", "--all", "--plan", "ship")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "livekit-watchdog: --plan and --all exclude each other: --all shows every plan\n"
    )
    assert bare("prices", "--plan", "boat").code == 2
    result = bare("prices", "--json", "check", book(bare))
    assert (result.code, result.out) == (2, "")
    assert "write options after it" in result.err


# ---- prices check ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BOOK, "1 entry, 1 replaces a built-in one, 0 new meters"),
        (BOOK + NEW, "2 entries, 1 replaces a built-in one, 1 new meter"),
        (
            BOOK + ENTRY.replace("ship", "scale") + NEW + NEW.replace("acme.tts", "acme.stt"),
            "4 entries, 2 replace built-in ones, 2 new meters",
        ),
    ],
)
def test_a_good_book_is_summed_up(bare, text, sentence):
    result = bare("prices", "check", book(bare, text))
    assert (result.code, result.out, result.err) == (0, f"book.toml: {sentence}\n", "")


def test_what_may_be_a_slip_is_noted(bare):
    misspelt = book(bare, BOOK.replace("agent_session", "agent_sesion"))
    result = bare("prices", "check", misspelt)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[1] == (
        "note: [[prices]] no. 1 (lk.agent_sesion, ship): meter: is new; if lk.agent_session is meant, "
        "the built-in price of that stays in force"
    )


def test_the_check_for_programs(bare):
    result = bare("prices", "check", book(bare, BOOK + NEW), "--json")
    assert result.json == {
        "file": "book.toml",
        "book_version": "ours",
        "entries": 2,
        "replacing": 1,
        "new_meters": ["acme.tts"],
        "notes": [],
    }


HERE = "[[prices]] no. 1 (lk.agent_session, ship): "
BAD = {
    "negative price": (
        BOOK.replace('"0.008"', '"-0.008"'),
        HERE + 'price: "-0.008" is negative; a price is 0 or more',
    ),
    "a number": (
        BOOK.replace('"0.008"', "0.008"),
        HERE + 'price: 0.008 must be decimal text in quotes, like "0.0005"',
    ),
    "unknown unit": (
        BOOK.replace('"min"', '"fortnight"'),
        HERE
        + 'unit: "fortnight" is no known unit; use one of min, connection-min, h, vCPU-h, GB-h, GB, '
        "1M chars, 1M tokens",
    ),
    "overlapping validity": (
        BOOK + ENTRY.replace("2020-01-01", "2026-01-01"),
        HERE.replace("1", "2")
        + "effective_from: its days overlap with those of no. 1; give the earlier one an effective_to",
    ),
    "unknown key": (
        BOOK.replace("minimum_s", "minimun_s"),
        HERE + 'unknown key "minimun_s"; the nearest known one is minimum_s',
    ),
    "not TOML": (
        "[[prices]\n",
        "line 1, column 9: not valid TOML: Expected ']]' at the end of an array declaration",
    ),
    "no version": (BOOK.replace("schema_version = 1\n", ""), "schema_version: is missing"),
    "an unknown plan": (
        BOOK.replace('"ship"', '"list"'),
        HERE.replace("ship", "list")
        + 'plan: "list" is never used for this meter, which has a price '
        'under each plan; write "ship", "scale" or "build"',
    ),
}


@pytest.mark.parametrize("json_too", [(), ("--json",)], ids=["text", "json"])
def test_each_thing_that_is_wrong_is_one_line_with_file_and_key(bare, json_too):
    for name, (text, sentence) in BAD.items():
        result = bare("prices", "check", book(bare, text), *json_too)
        assert (result.code, result.out) == (2, ""), name
        told = [line for line in result.err.splitlines() if "minimum_s: is missing" not in line]
        assert told == [f"livekit-watchdog: book.toml: {sentence}"], name


def test_everything_that_is_wrong_is_told_at_once(bare):
    text = BOOK.replace('"0.008"', '"-1"').replace('"min"', '"year"').replace('"high"', '"sure"')
    result = bare("prices", "check", book(bare, text))
    assert result.code == 2
    keys = re.findall(
        r"^livekit-watchdog: book\.toml: .*, ship\): (\w+): ", result.err, re.MULTILINE
    )
    assert keys == ["unit", "price", "confidence"]


def test_a_file_that_is_not_there_is_named(bare):
    result = bare("prices", "check", "gone.toml")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "livekit-watchdog: gone.toml: the price book does not exist; check the path\n"
    )
    assert bare("prices", "check").code == 2


def test_the_list_refuses_a_bad_book_of_the_configuration_too(bare):
    bad = bare.with_(WATCHDOG_PRICES__BOOK=book(bare, BAD["negative price"][0]))
    result = bad("prices")
    assert (result.code, result.out) == (2, "")
    assert result.err == f"livekit-watchdog: book.toml: {BAD['negative price'][1]}\n"


def test_the_book_in_the_readme_is_a_good_one(bare):
    readme = (ROOT / "README.md").read_text("utf-8")
    [example] = [
        b for b in re.findall(r"```toml\n(.*?)```", readme, re.DOTALL) if "[[prices]]" in b
    ]
    result = bare("prices", "check", book(bare, example))
    assert (result.code, result.err) == (0, "")
    assert result.out == "book.toml: 1 entry, 1 replaces a built-in one, 0 new meters\n"


def test_the_list_in_the_readme_is_what_is_printed(bare):
    readme = (ROOT / "README.md").read_text("utf-8")
    told = re.search(r"\$ livekit-watchdog prices --plan ship\n(.*?)```", readme, re.DOTALL)
    assert told is not None
    out = bare("prices", "--plan", "ship").out.replace(" stale", "")  # by now it may be
    printed = [line.split() for line in out.splitlines()]
    shown = [line.split() for line in told[1].splitlines() if line != "..."]
    assert [line for line in printed if line in shown] == shown
