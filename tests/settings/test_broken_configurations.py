"""Every way to write the configuration wrongly, with the exact sentence the operator reads."""

from pathlib import Path

import pytest

from watchdog.core.errors import ConfigurationError
from watchdog.settings import describe, load_settings
from watchdog.settings.keys import TABLE_LISTS

SECRET = "S3cr3t-that-must-never-be-shown"
PROJECT = f"""
[[projects]]
name = "eu"
url = "wss://eu.livekit.cloud"
api_key = "APIkey-{SECRET}"
api_secret = "{SECRET}"
"""
POLICY = """
[[policies]]
name = "calls"
"""


def refusal(directory: Path, toml: str | bytes | None = None, **environ: str) -> str:
    """The text of the refusal, with the file's path shortened to its name."""
    if toml is not None:
        content = toml.encode() if isinstance(toml, str) else toml
        (directory / "watchdog.toml").write_bytes(content)
    with pytest.raises(ConfigurationError) as refused:
        load_settings(None, environ, directory)
    assert refused.value.exit_code == 2
    assert refused.value.__cause__ is None, "a chained error would print a traceback"
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    assert SECRET not in str(refused.value)
    return str(refused.value).replace(f"{directory}/", "")


IN_THE_FILE = [
    # TOML itself
    ("poll_interval = ", "watchdog.toml: line 1, column 17: not valid TOML: Invalid value"),
    (
        'mode = "observe"\n[http\n',
        (
            "watchdog.toml: line 2, column 6: not valid TOML: Expected ']' at the end of a table "
            "declaration"
        ),
    ),
    (
        'mode = "observe"\nmode = "observe"',
        "watchdog.toml: line 2, column 17: not valid TOML: Cannot overwrite a value",
    ),
    ("a = " + "[" * 5000, "watchdog.toml: the TOML is nested too deeply"),
    (b'mode = "\xff"', "watchdog.toml: byte 9 is not UTF-8; save the configuration file as UTF-8"),
    # unknown keys
    (
        'poll_intervall = "15s"',
        'watchdog.toml: unknown key "poll_intervall"; the nearest known one is poll_interval',
    ),
    (
        '[http]\nlisten_on = ":9779"',
        'watchdog.toml: unknown key "http.listen_on"; the nearest known one is http.listen',
    ),
    (
        "requests_per_minute = 5",
        (
            'watchdog.toml: unknown key "requests_per_minute"; the nearest known one is '
            "detection.requests_per_minute"
        ),
    ),
    (
        '[htttp]\nlisten = ""',
        'watchdog.toml: unknown key "htttp"; the nearest known one is http',
    ),
    (
        "[limits]\nmax_deletions = 10",
        (
            'watchdog.toml: unknown key "limits.max_deletions"; the nearest known one is '
            "limits.max_deletions_per_tick"
        ),
    ),
    (
        '"line\\nbreak" = 1',
        'watchdog.toml: unknown key "line\\nbreak"; the nearest known one is poll_interval',
    ),
    (
        PROJECT + 'api_sekret = "x"',
        (
            'watchdog.toml: [[projects]] no. 1: unknown key "projects.api_sekret"; the nearest known '
            "one is projects.api_secret"
        ),
    ),
    # mode
    (
        'mode = "dry"',
        'watchdog.toml: mode: "dry" must be one of "observe", "allowlist" or "enforce"',
    ),
    # what may be deleted
    (
        '[allowlist]\nrooms = ["*"]',
        (
            'watchdog.toml: allowlist.rooms: "*" would allow every room; name at least one fixed '
            'character, like "call-*", or use mode = "enforce"'
        ),
    ),
    (
        '[protect]\nhold_key = "x"',
        (
            'watchdog.toml: protect.hold_key: "x" is no key to look for; use 4 characters or more, '
            'like "watchdog.hold"'
        ),
    ),
    (
        '[protect]\nrecordings = "some"',
        (
            'watchdog.toml: protect.recordings: "some" is no duration; write "90s", "15m", "2h", '
            '"1h30m", "500ms" or a number of seconds, or true or false'
        ),
    ),
    (
        "[limits]\nconfirmations = 1",
        "watchdog.toml: limits.confirmations: 1 must be at least 2",
    ),
    # durations
    (
        'retention = "6d"',
        'watchdog.toml: retention: "6d" is too short; keep episodes for 7d or more, or "forever"',
    ),
    (
        'retention = "for ever"',
        (
            'watchdog.toml: retention: "for ever" is no duration; write "90s", "15m", "2h", "1h30m", '
            '"500ms" or a number of seconds, or "forever"'
        ),
    ),
    (
        'poll_interval = "5 parsecs"',
        (
            'watchdog.toml: poll_interval: "5 parsecs" is no duration; write "90s", "15m", "2h", '
            '"1h30m", "500ms" or a number of seconds'
        ),
    ),
    (
        "poll_interval = true",
        (
            'watchdog.toml: poll_interval: true is no duration; write "90s", "15m", "2h", "1h30m", '
            '"500ms" or a number of seconds'
        ),
    ),
    (
        "poll_interval = 00:00:15",
        (
            'watchdog.toml: poll_interval: is no duration; write "90s", "15m", "2h", "1h30m", '
            '"500ms" or a number of seconds'
        ),
    ),
    (
        "poll_interval = nan",
        (
            'watchdog.toml: poll_interval: nan is no duration; write "90s", "15m", "2h", "1h30m", '
            '"500ms" or a number of seconds'
        ),
    ),
    (
        "poll_interval = -15",
        "watchdog.toml: poll_interval: -15 is out of range; a duration is from 0 to 100 years",
    ),
    (
        "poll_interval = 1e300",
        "watchdog.toml: poll_interval: 1e+300 is out of range; a duration is from 0 to 100 years",
    ),
    (
        'poll_interval = "999ms"',
        'watchdog.toml: poll_interval: "999ms" is too short; poll once a second or less often',
    ),
    (
        'poll_interval = "1s"',
        (
            "watchdog.toml: poll_interval: 1s is too short: listing the rooms alone would take more "
            "than half of detection.requests_per_minute = 100; poll less often or allow more"
        ),
    ),
    # numbers
    (
        "[limits]\nmax_drop = 1",
        "watchdog.toml: limits.max_drop: 1 must be less than 1.0",
    ),
    ("[limits]\nmax_drop = 0.0", "watchdog.toml: limits.max_drop: 0.0 must be more than 0.0"),
    ("[limits]\nmax_drop = nan", "watchdog.toml: limits.max_drop: nan must be a number"),
    ("[limits]\nmax_drop = true", "watchdog.toml: limits.max_drop: true must be a number"),
    (
        "[detection]\nrequests_per_minute = 0",
        "watchdog.toml: detection.requests_per_minute: 0 must be at least 1",
    ),
    (
        "[detection]\nrequests_per_minute = 1.5",
        "watchdog.toml: detection.requests_per_minute: 1.5 must be a whole number",
    ),
    # where to listen
    (
        '[http]\nlisten = "9779"',
        (
            'watchdog.toml: http.listen: "9779" has no port from 0 to 65535; write it like '
            '"127.0.0.1:9779"'
        ),
    ),
    (
        '[http]\nlisten = "localhost:99999"',
        (
            'watchdog.toml: http.listen: "localhost:99999" has no port from 0 to 65535; write it like '
            '"127.0.0.1:9779"'
        ),
    ),
    (
        '[http]\nlisten = ":9779"',
        'watchdog.toml: http.listen: ":9779" has no host; for every interface write "0.0.0.0:9779"',
    ),
    (
        '[http]\nlisten = "::1:9779"',
        (
            'watchdog.toml: http.listen: "::1:9779" is no host and port; write an IPv6 address like '
            '"[::1]:9779"'
        ),
    ),
    (
        '[http]\nlisten = "[::zz]:9779"',
        (
            'watchdog.toml: http.listen: "[::zz]:9779" has no valid IPv6 address; write it like '
            '"[::1]:9779"'
        ),
    ),
    (
        '[http]\nlisten = "a b:9779"',
        'watchdog.toml: http.listen: "a b:9779" has no valid host; write it like "127.0.0.1:9779"',
    ),
    (
        "[http]\nlisten = 9779",
        'watchdog.toml: http.listen: 9779 must be text like "127.0.0.1:9779", or "off"',
    ),
    ("http = 9779", "watchdog.toml: http: 9779 must be a table of settings"),
    # where to keep things
    (
        f'database = "postgresql+asyncpg://watchdog:{SECRET}@db"',
        (
            "watchdog.toml: database: must be a file, like sqlite+aiosqlite:///watchdog.db, or a database "
            "on a Postgres server, like postgresql+asyncpg://user:password@host/name"
        ),
    ),
    (
        'database = "sqlite+aiosqlite://watchdog.db"',
        (
            "watchdog.toml: database: must be a file, like sqlite+aiosqlite:///watchdog.db, or a database "
            "on a Postgres server, like postgresql+asyncpg://user:password@host/name"
        ),
    ),
    # who counts as what
    (
        '[detection]\nagent_identities = "bot-*"',
        'watchdog.toml: detection.agent_identities: "bot-*" must be a list',
    ),
    (
        "[detection]\nagent_identities = [1]",
        "watchdog.toml: detection.agent_identities: 1 must be text",
    ),
    (
        '[detection]\nnot_persons = ["STANDARD"]',
        (
            'watchdog.toml: detection.not_persons: "STANDARD" always counts as a person; only these '
            "kinds can be left out: SIP, INGRESS, CONNECTOR, BRIDGE"
        ),
    ),
    (
        '[detection]\nnot_persons = ["AGENT"]',
        (
            'watchdog.toml: detection.not_persons: "AGENT" never counts as a person anyway; only these '
            "can be left out: SIP, INGRESS, CONNECTOR, BRIDGE"
        ),
    ),
    (
        '[detection]\nnot_persons = ["PHONE"]',
        (
            'watchdog.toml: detection.not_persons: "PHONE" is no kind that can be left out; these can: '
            "SIP, INGRESS, CONNECTOR, BRIDGE"
        ),
    ),
    # choices
    (
        '[privacy]\nroom_names = "hidden"',
        'watchdog.toml: privacy.room_names: "hidden" must be one of "full", "masked" or "hashed"',
    ),
    (
        '[prices]\nplan = "Ship"',
        'watchdog.toml: prices.plan: "Ship" must be one of "ship", "scale" or "build"',
    ),
    (
        '[prices]\nprofile = "cloud"',
        (
            'watchdog.toml: prices.profile: "cloud" is no profile; the profiles are cloud-hosted, '
            "self-hosted-on-cloud, self-hosted-everything"
        ),
    ),
    (
        '[prices]\nbook = ""',
        'watchdog.toml: prices.book: "" is empty; give a value or leave the key out',
    ),
    ("[prices]\nbook = 7", "watchdog.toml: prices.book: 7 must be the path of a file, as text"),
    (
        '[log]\nlevel = "loud"',
        'watchdog.toml: log.level: "loud" must be one of "debug", "info", "warning" or "error"',
    ),
    # policies
    ("policies = 1", "watchdog.toml: policies: 1 must be a list"),
    (
        '[policies]\nname = "calls"',
        "watchdog.toml: policies: must be a list",
    ),
    (
        'policies = ["calls"]',
        'watchdog.toml: [[policies]] no. 1: "calls" must be a table of settings',
    ),
    ("[[policies]]", "watchdog.toml: [[policies]] no. 1: name: is missing"),
    (
        POLICY.replace("calls", "a call"),
        (
            'watchdog.toml: [[policies]] no. 1: name: "a call" is no policy name; use 1 to 64 of the '
            "characters A-Z a-z 0-9 . _ -"
        ),
    ),
    (
        POLICY.replace("calls", "c" * 65),
        (
            f'watchdog.toml: [[policies]] no. 1: name: "{"c" * 59}…" is no policy name; use 1 to 64 of '
            "the characters A-Z a-z 0-9 . _ -"
        ),
    ),
    (
        '[replicas]\nlease = "4s"',
        ('watchdog.toml: replicas.lease: "4s" is too short to be renewed in time; at least 5s'),
    ),
    (
        '[replicas]\nlease = "1h"',
        (
            'watchdog.toml: replicas.lease: "1h" leaves the rooms of a replica that ended unwatched for '
            "too long; at most 10m"
        ),
    ),
    (
        POLICY + POLICY.replace("calls", "phone"),
        (
            'watchdog.toml: [[policies]] no. 2: name: "phone" is a built-in policy\'s name, as are '
            "transfer, phone, never-attended, default; choose another"
        ),
    ),
    (
        POLICY + POLICY,
        (
            'watchdog.toml: [[policies]] no. 2: name: "calls" is taken by another policy; give each '
            "its own name"
        ),
    ),
    (
        POLICY + POLICY.replace("calls", "demos") + 'hard_limt = "2h"',
        (
            'watchdog.toml: [[policies]] no. 2: unknown key "policies.hard_limt"; the nearest known '
            "one is policies.hard_limit"
        ),
    ),
    (
        POLICY + 'rooms = ["call-*"]',
        (
            'watchdog.toml: [[policies]] no. 1: unknown key "policies.rooms"; the nearest known one is '
            "policies.match.rooms"
        ),
    ),
    (
        POLICY + 'match = { room = ["call-*"] }',
        (
            'watchdog.toml: [[policies]] no. 1: unknown key "policies.match.room"; the nearest known '
            "one is policies.match.rooms"
        ),
    ),
    (
        POLICY + 'match = "call-*"',
        'watchdog.toml: [[policies]] no. 1: match: "call-*" must be a table of settings',
    ),
    (
        POLICY + 'match = { rooms = "call-*" }',
        'watchdog.toml: [[policies]] no. 1: match.rooms: "call-*" must be a list',
    ),
    (
        POLICY + 'match = { rooms = ["call-*", ""] }',
        (
            'watchdog.toml: [[policies]] no. 1: match.rooms: "" is an empty glob and matches no name; '
            'write one like "call-*"'
        ),
    ),
    (
        POLICY + 'match = { agents = [" "] }',
        (
            'watchdog.toml: [[policies]] no. 1: match.agents: " " is an empty glob and matches no '
            'name; write one like "call-*"'
        ),
    ),
    (
        POLICY + 'match = { person_seen = "yes" }',
        'watchdog.toml: [[policies]] no. 1: match.person_seen: "yes" must be true or false',
    ),
    (
        POLICY + 'match = { last_person_kinds = ["PHONE"] }',
        (
            'watchdog.toml: [[policies]] no. 1: match.last_person_kinds: "PHONE" is no kind of person; '
            "the kinds are STANDARD, INGRESS, SIP, CONNECTOR, BRIDGE"
        ),
    ),
    (
        POLICY + 'match = { last_person_kinds = ["SIP", "AGENT"] }',
        (
            'watchdog.toml: [[policies]] no. 1: match.last_person_kinds: "AGENT" is no kind of person; '
            "the kinds are STANDARD, INGRESS, SIP, CONNECTOR, BRIDGE"
        ),
    ),
    (
        POLICY + POLICY.replace("calls", "demos") + 'grace = "soon"',
        (
            'watchdog.toml: [[policies]] no. 2: grace: "soon" is no duration; write "90s", "15m", "2h", '
            '"1h30m", "500ms" or a number of seconds'
        ),
    ),
    (
        POLICY + POLICY.replace("calls", "demos") + "grace = 49.999",
        (
            "watchdog.toml: [[policies]] no. 2: grace: 49s999ms is too short: the least allowed is 50s, "
            "poll_interval + 35s; raise it or say allow_short_grace = true"
        ),
    ),
    (
        'poll_interval = "10m"' + POLICY,
        (
            "watchdog.toml: [[policies]] no. 1: grace: 10m is too short: the least allowed is 10m35s, "
            "poll_interval + 35s; raise it or say allow_short_grace = true"
        ),
    ),
    (
        POLICY + 'hard_limit = "9m59s"',
        (
            "watchdog.toml: [[policies]] no. 1: hard_limit: 9m59s is below the grace of 10m; raise it "
            "or shorten the grace"
        ),
    ),
    (
        POLICY + 'grace = "10s"\nhard_limit = "5s"\nallow_short_grace = true',
        (
            "watchdog.toml: [[policies]] no. 1: hard_limit: 5s is below the grace of 10s; raise it or "
            "shorten the grace"
        ),
    ),
    (
        POLICY + "max_spend = 2.50",
        (
            "watchdog.toml: [[policies]] no. 1: max_spend: 2.5 must be decimal text; write it in "
            'quotes, like "2.50"'
        ),
    ),
    (
        POLICY + 'max_spend = "$2.50"',
        (
            'watchdog.toml: [[policies]] no. 1: max_spend: "$2.50" is no amount in USD; write it like '
            '"2.50"'
        ),
    ),
    (
        POLICY + 'max_spend = "NaN"',
        (
            'watchdog.toml: [[policies]] no. 1: max_spend: "NaN" is no amount in USD; write it like '
            '"2.50"'
        ),
    ),
    (
        POLICY + 'max_spend = "0.00"',
        (
            'watchdog.toml: [[policies]] no. 1: max_spend: "0.00" must be more than 0; give an amount '
            "or leave the key out"
        ),
    ),
    (
        POLICY + 'action = "kill"',
        (
            'watchdog.toml: [[policies]] no. 1: action: "kill" must be one of "delete", "warn" or '
            '"keep"'
        ),
    ),
    (
        POLICY + "allow_short_grace = 1",
        "watchdog.toml: [[policies]] no. 1: allow_short_grace: 1 must be true or false",
    ),
    (
        POLICY + 'respect_room_timeouts = "false"',
        'watchdog.toml: [[policies]] no. 1: respect_room_timeouts: "false" must be true or false',
    ),
    # projects
    ("projects = 1", "watchdog.toml: projects: must be a list"),
    ("projects = 0", "watchdog.toml: projects: must be a list"),
    (f'projects = "{SECRET}"', "watchdog.toml: projects: must be a list"),
    (
        f'projects = ["{SECRET}"]',
        "watchdog.toml: [[projects]] no. 1: must be a table of settings",
    ),
    (
        f'[projects]\nname = "eu"\napi_secret = "{SECRET}"',
        "watchdog.toml: projects: must be a list",
    ),
    (
        '[[projects]]\nname = "eu"',
        (
            "watchdog.toml: [[projects]] no. 1: url: is missing\n"
            "watchdog.toml: [[projects]] no. 1: api_key: is missing\n"
            "watchdog.toml: [[projects]] no. 1: api_secret: is missing"
        ),
    ),
    (
        PROJECT + PROJECT,
        (
            'watchdog.toml: [[projects]] no. 2: name: "eu" is taken by another project; give each its '
            "own name"
        ),
    ),
    (
        PROJECT.replace('"eu"', '"eu west"'),
        (
            'watchdog.toml: [[projects]] no. 1: name: "eu west" is no project name; use 1 to 64 of the '
            "characters A-Z a-z 0-9 . _ -"
        ),
    ),
    (
        PROJECT.replace("wss://eu.livekit.cloud", "localhost:7880"),
        (
            "watchdog.toml: [[projects]] no. 1: url: must begin with ws://, wss://, http:// or "
            "https://; write it like wss://my-project.livekit.cloud or http://127.0.0.1:7880"
        ),
    ),
    (
        PROJECT.replace("wss://eu.livekit.cloud", "https://"),
        (
            "watchdog.toml: [[projects]] no. 1: url: names no host; write it like "
            "wss://my-project.livekit.cloud or http://127.0.0.1:7880"
        ),
    ),
    (
        PROJECT.replace("wss://eu.livekit.cloud", f"wss://me:{SECRET}@eu"),
        (
            "watchdog.toml: [[projects]] no. 1: url: must not hold a user or a password; write it like "
            "wss://my-project.livekit.cloud or http://127.0.0.1:7880"
        ),
    ),
    (
        PROJECT.replace("wss://eu.livekit.cloud", f"wss://eu/?access_token={SECRET}"),
        (
            "watchdog.toml: [[projects]] no. 1: url: must end with its host, port or path; write it "
            "like wss://my-project.livekit.cloud or http://127.0.0.1:7880"
        ),
    ),
    (
        PROJECT.replace("wss://eu.livekit.cloud", "ws://eu:port"),
        (
            "watchdog.toml: [[projects]] no. 1: url: is no valid URL; write it like "
            "wss://my-project.livekit.cloud or http://127.0.0.1:7880"
        ),
    ),
    (
        PROJECT.replace(f'"{SECRET}"', f'" {SECRET}"'),
        (
            "watchdog.toml: [[projects]] no. 1: api_secret: is empty or has a space or line end "
            "in it; copy it anew from LiveKit"
        ),
    ),
    (
        PROJECT.replace(f'"{SECRET}"', "12345"),
        "watchdog.toml: [[projects]] no. 1: api_secret: must be text",
    ),
    (
        PROJECT + 'api_secret_file = "secret"',
        (
            "watchdog.toml: [[projects]] no. 1: api_secret_file: api_secret is given too; keep one of "
            "them"
        ),
    ),
]


@pytest.mark.parametrize(("toml", "sentence"), IN_THE_FILE)
def test_a_broken_file_is_refused_with_one_clear_sentence(
    toml: str | bytes, sentence: str, tmp_path: Path
):
    assert refusal(tmp_path, toml) == sentence


IN_THE_ENVIRONMENT = [
    (
        {"WATCHDOG_POLL_INTERVAL": "soon"},
        (
            'WATCHDOG_POLL_INTERVAL: "soon" is no duration; write "90s", "15m", "2h", "1h30m", "500ms" '
            "or a number of seconds"
        ),
    ),
    (
        {"WATCHDOG_POLL_INTERVAL": "1"},
        (
            "WATCHDOG_POLL_INTERVAL: 1s is too short: listing the rooms alone would take more than half "
            "of detection.requests_per_minute = 100; poll less often or allow more"
        ),
    ),
    (
        {"WATCHDOG_POLL_INTERVALL": "15s"},
        (
            "WATCHDOG_POLL_INTERVALL: no setting has this variable; the nearest known one is "
            "WATCHDOG_POLL_INTERVAL (poll_interval)"
        ),
    ),
    (
        {"WATCHDOG_HTTP_LISTEN": "off"},
        (
            "WATCHDOG_HTTP_LISTEN: no setting has this variable; the nearest known one is "
            "WATCHDOG_HTTP__LISTEN (http.listen)"
        ),
    ),
    (
        {"watchdog_mode": "observe"},
        "watchdog_mode: no setting has this variable; the nearest known one is WATCHDOG_MODE (mode)",
    ),
    (
        {"WATCHDOG_PORT": "9779"},
        (
            "WATCHDOG_PORT: no setting has this variable; the nearest known one is "
            "WATCHDOG_PRICES__TTS (prices.tts)"
        ),
    ),
    (
        {"WATCHDOG_PROJECTS__0__API_SECRET": SECRET},
        (
            "WATCHDOG_PROJECTS__0__API_SECRET: projects are given as [[projects]] in the configuration "
            "file, or one by LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET"
        ),
    ),
    (
        {"WATCHDOG_POLICIES": '[{"name": "calls"}]'},
        "WATCHDOG_POLICIES: policies are given as [[policies]] in the configuration file",
    ),
    (
        {"WATCHDOG_POLICIES__0__GRACE": "1s"},
        "WATCHDOG_POLICIES__0__GRACE: policies are given as [[policies]] in the configuration file",
    ),
    (
        {"WATCHDOG_DETECTION__AGENT_IDENTITIES": '["bot-*'},
        'WATCHDOG_DETECTION__AGENT_IDENTITIES: "[\\"bot-*" must be a list',
    ),
    (
        {"WATCHDOG_DETECTION__AGENT_IDENTITIES": "bot-*,*"},
        (
            'WATCHDOG_DETECTION__AGENT_IDENTITIES: "*" would make agents of persons too; name at least '
            'one fixed character, like "bot-*"'
        ),
    ),
    (
        {"WATCHDOG_DETECTION__REQUESTS_PER_MINUTE": "many"},
        'WATCHDOG_DETECTION__REQUESTS_PER_MINUTE: "many" must be a whole number',
    ),
    (
        {"WATCHDOG_CONFIG": "nowhere.toml"},
        "nowhere.toml: the configuration file does not exist; check the path",
    ),
]


@pytest.mark.parametrize(("environ", "sentence"), IN_THE_ENVIRONMENT)
def test_a_broken_variable_is_refused_under_its_own_name(
    environ: dict[str, str], sentence: str, tmp_path: Path
):
    assert refusal(tmp_path, None, **environ) == sentence


@pytest.mark.trap("T09")
@pytest.mark.parametrize(
    "glob", ["*", "**", "?*", "*?", "?", "[a-z]*", "*[!x]*", "[!]]*", "", " ", "[*]*"]
)
def test_t09_a_glob_that_could_match_a_person_of_any_name_is_refused(glob: str, tmp_path: Path):
    toml = f"[detection]\nagent_identities = ['bot-*', '{glob}']"
    assert refusal(tmp_path, toml).endswith(
        'would make agents of persons too; name at least one fixed character, like "bot-*"'
    )


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path):
    toml = 'poll_interval = "x"\nmodus = 1\n[limits]\nmax_drop = 2\n' + PROJECT
    told = refusal(tmp_path, toml, WATCHDOG_HTTP__LISTEN="x", WATCHDOG_FOO="1").splitlines()
    assert [line.split(":")[0] for line in told if line.startswith("WATCHDOG")] == [
        "WATCHDOG_FOO",
        "WATCHDOG_HTTP__LISTEN",
    ]
    for expected in ('unknown key "modus"', "poll_interval: ", "limits.max_drop: "):
        assert sum(expected in line for line in told) == 1
    assert len(told) == 5


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError) as refused:
        load_settings(Path("gone.toml"), {}, tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}/gone.toml: the configuration file does not exist; check the path"
    )


def test_a_directory_is_no_file(tmp_path: Path):
    with pytest.raises(ConfigurationError) as refused:
        load_settings(tmp_path, {}, tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}: the configuration file is a directory; give the path of a file"
    )


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "does not exist; check the path"),
        (b"", "is empty; it must hold the secret alone"),
        (b"\r\n", "is empty; it must hold the secret alone"),
        (b"\xff\xfe", "is not text; it must hold the secret alone"),
        (b"a\nb\n", "holds more than one line; it must hold the secret alone"),
        (b"a" * 5000, "holds more than one line; it must hold the secret alone"),
    ],
)
def test_a_secret_file_that_holds_no_secret_is_named(
    content: bytes | None, sentence: str, tmp_path: Path
):
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    toml = PROJECT.replace(f'api_secret = "{SECRET}"', 'api_secret_file = "secret"')
    assert refusal(tmp_path, toml) == (
        f"watchdog.toml: [[projects]] no. 1: api_secret_file: the file secret {sentence}"
    )


COMPLETE = {
    "LIVEKIT_URL": "ws://127.0.0.1:7880",
    "LIVEKIT_API_KEY": "devkey",
    "LIVEKIT_API_SECRET": SECRET,
}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            dict.fromkeys(COMPLETE),
            (
                "no LiveKit project is configured; set LIVEKIT_URL, LIVEKIT_API_KEY and "
                "LIVEKIT_API_SECRET, or add a [[projects]] table with name, url, api_key and "
                "api_secret to the configuration file"
            ),
        ),
        (
            {"LIVEKIT_API_KEY": None, "LIVEKIT_API_SECRET": ""},
            "LIVEKIT_API_KEY and LIVEKIT_API_SECRET must be set too, beside LIVEKIT_URL",
        ),
        (
            {"LIVEKIT_URL": "127.0.0.1"},
            (
                "LIVEKIT_URL: must begin with ws://, wss://, http:// or https://; write it like "
                "wss://my-project.livekit.cloud or http://127.0.0.1:7880"
            ),
        ),
        (
            {"LIVEKIT_API_SECRET_FILE": "api_secret"},
            "LIVEKIT_API_SECRET_FILE: LIVEKIT_API_SECRET is given too; keep one of them",
        ),
        (
            {"LIVEKIT_API_SECRET": None, "LIVEKIT_API_SECRET_FILE": "api_secret"},
            "LIVEKIT_API_SECRET_FILE: the file api_secret does not exist; check the path",
        ),
    ],
)
def test_a_broken_default_project_is_an_error_only_where_a_project_is_needed(
    change: dict[str, str | None], sentence: str, tmp_path: Path
):
    environ = {k: v for k, v in {**COMPLETE, **change}.items() if v is not None}
    settings = load_settings(None, environ, tmp_path)
    assert settings.projects == ()
    with pytest.raises(ConfigurationError) as refused:
        settings.require_projects()
    assert str(refused.value).replace(f"{tmp_path}/", "") == sentence
    assert SECRET not in str(refused.value)


ODD_VALUES = [
    *("0", "-1", "1.5", "nan", "-inf", "true", '""', '"x"', '"*"', r'"\u0000"', '"[::1]:1"'),
    *("[]", "[1]", '["x"]', "[[]]", "[{}]", "[{name = 1}]", "{}", "{x = 1}", "{listen = []}"),
    *("2026-10-01", "12:00:00", "2026-10-01T12:00:00Z", "9" * 4000, "1e308", "'" + "x" * 999 + "'"),
]
KEYS = [s.key for s in describe() if s.key.partition(".")[0] not in TABLE_LISTS]
KEYS += ["http", "limits", "detection", "prices", "log", *TABLE_LISTS]
POLICY_KEYS = [s.key.removeprefix("policies.") for s in describe() if s.key[:9] == "policies."]


def refused(file: Path) -> str:
    """What loading the file is refused with; nothing if it is not."""
    try:
        load_settings(file, {}, file.parent)
    except ConfigurationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("key", KEYS)
def test_an_odd_value_is_accepted_or_refused_under_its_key_but_never_crashes(
    key: str, tmp_path: Path
):
    file = tmp_path / "odd.toml"
    accepted = 0
    for value in ODD_VALUES:
        file.write_text(f"{key} = {value}")
        lines = refused(file).splitlines()
        accepted += not lines
        for line in lines:
            assert line.startswith(f"{file}: ")
            assert key.partition(".")[0] in line
            assert len(line) < len(str(file)) + 300
    assert accepted <= 6


@pytest.mark.parametrize("key", ["name", "url", "api_key", "api_secret", "api_secret_file"])
def test_an_odd_value_in_a_project_never_crashes(key: str, tmp_path: Path):
    good = {"name": '"eu"', "url": '"ws://eu"', "api_key": '"k"', "api_secret": '"s"'}
    if key == "api_secret_file":
        del good["api_secret"]
    file = tmp_path / "odd.toml"
    accepted = []
    for value in ODD_VALUES:
        project = {**good, key: value}
        file.write_text("[[projects]]\n" + "\n".join(f"{k} = {v}" for k, v in project.items()))
        if told := refused(file):
            assert told.startswith(f"{file}: [[projects]] no. 1: {key}")
            assert "\n" not in told
        else:
            accepted.append(value)
    plain_text = ['"x"', '"*"', '"[::1]:1"', "'" + "x" * 999 + "'"]
    assert accepted == {
        "name": ['"x"'],
        "api_key": plain_text,
        "api_secret": plain_text,
    }.get(key, [])


@pytest.mark.parametrize("key", [*POLICY_KEYS, "match"])
def test_an_odd_value_in_a_policy_never_crashes(key: str, tmp_path: Path):
    file = tmp_path / "odd.toml"
    accepted = []
    for value in ODD_VALUES:
        policy = {"name": '"calls"', key: value}
        file.write_text("[[policies]]\n" + "\n".join(f"{k} = {v}" for k, v in policy.items()))
        if told := refused(file):
            for line in told.splitlines():
                assert line.startswith(f"{file}: [[policies]] no. 1: ")
                assert key in line
                assert len(line) < len(str(file)) + 300
        else:
            accepted.append(value)
    assert accepted == {
        "name": ['"x"'],
        "match": ["{}"],
        "match.rooms": ["[]", '["x"]'],
        "match.agents": ["[]", '["x"]'],
        "match.person_seen": ["true"],
        "match.last_person_kinds": ["[]"],
        "respect_room_timeouts": ["true"],
        "allow_short_grace": ["true"],
        "warn_before": ["1.5"],
        "delete_dispatch": ["true"],
    }.get(key, [])
