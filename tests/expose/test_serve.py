"""The server inside the daemon's own loop."""

import asyncio
import signal
import socket

import httpx
import pytest
from fastapi import FastAPI

from watchdog.core.errors import WatchdogError
from watchdog.expose.http import serve


def small_app():
    app = FastAPI()
    app.state.reached = asyncio.Event()
    app.state.cancelled = asyncio.Event()

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    @app.get("/for-ever")
    async def for_ever() -> None:
        app.state.reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            app.state.cancelled.set()

    return app


async def test_port_zero_gives_the_port_that_was_chosen():
    async with serve(small_app(), "127.0.0.1", 0) as port:
        assert port > 0
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"http://127.0.0.1:{port}/hello")
    assert answer.json() == "hello"
    assert "server" not in answer.headers


async def test_a_port_in_use_is_one_clear_sentence():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WatchdogError) as caught:
            async with serve(small_app(), "127.0.0.1", port):
                pytest.fail("must not get here")
    assert str(caught.value) == (
        f"cannot listen on 127.0.0.1:{port}: address already in use; "
        "choose another with http.listen or WATCHDOG_HTTP__LISTEN"
    )
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("host", "port", "where"),
    [
        ("192.0.2.1", 0, "192.0.2.1:0"),
        ("127.0.0.1", 99999, "127.0.0.1:99999"),
        ("not\x00a host", 0, "not\\x00a host:0"),
        ("2001:db8::1", 0, "[2001:db8::1]:0"),
        ("x" * 100 + ".invalid", 0, "x" * 100 + ".invalid:0"),
    ],
)
async def test_an_address_that_cannot_be_listened_on_is_one_clear_sentence(host, port, where):
    with pytest.raises(WatchdogError) as caught:
        async with serve(small_app(), host, port):
            pytest.fail("must not get here")
    sentence = str(caught.value)
    assert sentence.startswith(f"cannot listen on {where}: ")
    assert sentence.endswith("; choose another with http.listen or WATCHDOG_HTTP__LISTEN")
    assert "\n" not in sentence


async def test_the_port_is_free_again_afterwards():
    async with serve(small_app(), "127.0.0.1", 0) as port:
        pass
    async with serve(small_app(), "127.0.0.1", port) as again:
        assert again == port


async def test_stopping_does_not_wait_for_an_answer_that_never_ends(caplog):
    app = small_app()
    async with httpx.AsyncClient(trust_env=False) as client:
        async with asyncio.timeout(
            30
        ):  # against hanging only: without the stop it would be for ever
            async with serve(app, "127.0.0.1", 0) as port:
                request = asyncio.create_task(client.get(f"http://127.0.0.1:{port}/for-ever"))
                await app.state.reached.wait()
            await app.state.cancelled.wait()
        with pytest.raises(httpx.HTTPError):
            (await request).raise_for_status()
    assert not [r for r in caplog.records if r.name.startswith("uvicorn")]


async def test_an_idle_connection_does_not_hold_the_stop_up():
    async with asyncio.timeout(30):
        async with serve(small_app(), "127.0.0.1", 0) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()


async def test_the_process_keeps_its_own_signal_handlers():
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}
    async with serve(small_app(), "127.0.0.1", 0) as port:
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(f"http://127.0.0.1:{port}/hello")
        assert {s: signal.getsignal(s) for s in before} == before
    assert {s: signal.getsignal(s) for s in before} == before


async def test_it_writes_nothing_by_itself(capfd, caplog):
    async with (
        serve(small_app(), "127.0.0.1", 0) as port,
        httpx.AsyncClient(trust_env=False) as client,
    ):
        await client.get(f"http://127.0.0.1:{port}/hello")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert not [r for r in caplog.records if r.name.startswith("uvicorn")]


async def test_an_error_inside_the_context_still_stops_the_server():
    with pytest.raises(RuntimeError, match="the daemon failed"):
        async with serve(small_app(), "127.0.0.1", 0) as port:
            raise RuntimeError("the daemon failed")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
