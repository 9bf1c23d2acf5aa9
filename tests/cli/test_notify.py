"""`run` tells people through channels, `notify-test` tries them; nothing of a URL is ever said."""

import json

import pytest

from tests.cli.program import get, sample
from tests.notifying.receivers import http_receiver, mail_receiver, silent_receiver

SECRET = "s3cretpath"
QUICK = """
[[policies]]
name = "quick"
grace = "1s"
hard_limit = "1s"
allow_short_grace = true
respect_room_timeouts = false
"""


def notifying(program, *urls, **more):
    """The program with these channels, and a policy that makes a room due at once."""
    (program.directory / "watchdog.toml").write_text(QUICK)
    return program.with_(
        WATCHDOG_NOTIFY__URLS=json.dumps(urls),
        WATCHDOG_NOTIFY__GATHER="0s",
        WATCHDOG_PRIVACY__ROOM_NAMES="masked",
        **more,
    )


# ---- run --------------------------------------------------------------------------------------------


def test_a_stranded_room_is_told_of_once_over_http_and_by_mail(program, server):
    server.call("call-77", person=False)
    with (
        http_receiver() as chat,
        mail_receiver() as mail,
        notifying(program, chat.url, mail.url).started("run") as daemon,
    ):
        url = daemon.url()
        told = chat.next()
        assert told["title"] == "LiveKit watchdog, default: 1 stranded"
        assert told["type"] == "warning"
        heading, line = told["body"].splitlines()
        assert heading == (
            "default: rooms with agents alone, past their policy's threshold and not deleted"
        )
        assert line.startswith("- ca*****: support alone for ")
        assert line.endswith("policy quick, held by mode")
        assert mail.next()["title"] == told["title"]
        daemon.eventually(lambda: sent(url, "json") == sent(url, "mailto") == 1)
        ticks = sample(f"{url}/metrics", "ticks_total", project="default", result="ok")
        assert ticks is not None
        daemon.eventually(
            lambda: (
                (sample(f"{url}/metrics", "ticks_total", project="default", result="ok") or 0)
                > ticks + 1
            )
        )
        assert daemon.stop().code == 0
        assert chat.arrived.empty()
        assert mail.arrived.empty()
    assert daemon.logged("watching")[0]["notify"] == ["json", "mailto"]


def sent(url, service, result="sent"):
    return sample(f"{url}/metrics", "notifications_total", service=service, result=result)


def test_a_project_that_is_not_observed_is_told_of_and_when_it_is_again(program, server):
    server.stop()
    with http_receiver() as chat:
        told = notifying(program, chat.url, WATCHDOG_NOTIFY__AFTER_BLIND="1s")
        with told.started("run"):
            blind = chat.next()
            server.start()
            again = chat.next()
    assert (blind["title"], blind["type"]) == ("LiveKit watchdog, default: not observed", "failure")
    assert "cannot reach the server" in blind["body"]
    assert (again["title"], again["type"]) == (
        "LiveKit watchdog, default: observed again",
        "success",
    )


def test_a_channel_that_hangs_holds_up_neither_ticks_nor_the_other_channel_nor_the_stop(
    program, server
):
    server.call("call-77", person=False)
    with silent_receiver() as silent, http_receiver() as chat:
        told = notifying(program, f"{silent}&+X={SECRET}", chat.url)
        with told.started("run") as daemon:
            url = daemon.url()
            chat.next()
            server.call("call-88", person=False)
            chat.next()  # a later tick's
            assert get(f"{url}/readyz").status == 200
            ended = daemon.stop()
    assert ended.code == 0
    [line] = daemon.logged("notification not sent")
    assert (line["channel"], line["messages"]) == ("1 (json)", 2)
    assert SECRET not in ended.all


def test_a_channel_that_fails_is_said_without_its_secrets(program, server):
    server.call("call-77", person=False)
    with http_receiver(500, f"{SECRET}?+X-Token={SECRET}") as broken:
        told = notifying(program, broken.url, WATCHDOG_LOG__LEVEL="debug")
        with told.started("run") as daemon:
            url = daemon.url()
            [line] = daemon.eventually(lambda: daemon.logged("notification not sent"))
            assert sent(url, "json", "failed") == 1
            pages = [get(f"{url}/{page}").text for page in ("metrics", "readyz", "", "healthz")]
            ended = daemon.stop()
    assert (line["channel"], line["why"]) == ("1 (json)", "the service answered 500")
    assert broken.arrived.qsize() == 1
    assert SECRET not in ended.all + "".join(pages)


def test_once_tells_nobody(program, server):
    server.call("call-77", person=False)
    with http_receiver() as chat:
        assert notifying(program, chat.url)("once").code == 0
        assert chat.arrived.empty()


# ---- notify-test ------------------------------------------------------------------------------------


def test_notify_test_says_of_each_channel_whether_it_went_out(bare):
    with http_receiver() as good, http_receiver(403, SECRET) as bad:
        told = notifying(bare, good.url, bad.url)
        plain, as_json = told("notify-test"), told("notify-test", "--json")
        assert good.next()["title"] == "LiveKit watchdog: a test"
    assert plain.code == as_json.code == 1
    assert plain.out.splitlines() == [
        "1 (json): sent",
        "2 (json): not sent: the service answered 403",
    ]
    assert as_json.json == [
        {"channel": "1 (json)", "sent": True, "why": ""},
        {"channel": "2 (json)", "sent": False, "why": "the service answered 403"},
    ]
    assert SECRET not in plain.all + as_json.all


def test_notify_test_with_every_channel_good_is_good(bare):
    with mail_receiver() as mail:
        assert notifying(bare, mail.url)("notify-test").code == 0
        assert mail.next()["title"] == "LiveKit watchdog: a test"


def test_notify_test_does_not_wait_for_ever(bare):
    with silent_receiver() as silent:
        ended = notifying(bare, silent)("notify-test", "--wait", "0.2")
    assert (ended.code, ended.out) == (1, "1 (json): not sent: no answer within 0.2 s\n")


def test_notify_test_needs_a_channel(bare):
    ended = bare("notify-test")
    assert ended.code == 2
    assert "no channel is configured; set notify.urls" in ended.err


# ---- what is wrong ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["run", "check-config", "notify-test"])
def test_a_url_that_no_service_has_is_refused_at_the_start(program, command):
    (program.directory / "more").write_text(f"# ours\n\nnosuch://{SECRET}\n")
    told = notifying(program, "json://127.0.0.1/", WATCHDOG_NOTIFY__URLS_FILE="more")
    ended = told(command)
    assert ended.code == 2
    assert ended.err == (
        "livekit-watchdog: notify.urls: no. 2 begins with no scheme that Apprise knows; the services are "
        "at https://appriseit.com/services/\n"
    )
    assert SECRET not in ended.all
    assert not (program.directory / "watchdog.db").exists()


def test_the_configuration_shows_the_services_and_no_url(program):
    told = notifying(
        program, f"json://127.0.0.1/{SECRET}", f"slack://{'A' * 9}/{'B' * 9}/{'c' * 24}"
    )
    plain, as_json = told("check-config"), told("check-config", "--json")
    assert "notify         json, slack; try them with notify-test" in plain.out.splitlines()
    assert as_json.json["notify"] == ["json", "slack"]
    assert SECRET not in plain.all + as_json.all
    assert "c" * 24 not in plain.all + as_json.all


def test_the_extra_is_needed_only_where_there_are_channels(program):
    (program.directory / "apprise.py").write_text("raise ImportError\n")
    assert program.in_a_new_interpreter("check-config").code == 0
    ended = notifying(program, f"json://{SECRET}/").in_a_new_interpreter("check-config")
    assert ended.code == 2
    assert "pip install 'livekit-agent-watchdog[notify]'" in ended.err
    assert SECRET not in ended.all
