"""Real Prometheus and Alertmanager processes for tests, on loopback and on ports of their own."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

from tests.realserver import free_port, kill_group

PATIENCE = 60.0
"""Seconds anything may take before a test gives up: against hanging only."""

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
"""The programs, and the Debian package that has each."""

T = TypeVar("T")


def tool(name: str) -> Path:
    """One of `PACKAGES` to start; without it a test is skipped, and fails in CI."""
    # Debian calls Alertmanager's binary prometheus-alertmanager.
    found = shutil.which(name) or shutil.which(f"prometheus-{name}")
    if found is None:
        cure = f"{name} is missing: apt-get install {PACKAGES[name]}"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(cure, pytrace=False)
        pytest.skip(cure)
    return Path(found)


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def get(self, path: str, **parameters: str) -> Any:
        """The `data` of an answer of its HTTP API; a refusal is an AssertionError with its words."""
        return _get(f"{self.url}/api/v1/{path}", parameters)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now: vectors of `metric` and `value`."""
        result: list[dict[str, Any]] = self.get("query", query=expression)["result"]
        return result

    def query_range(
        self, expression: str, *, seconds: float = 60, step: float = 1
    ) -> list[dict[str, Any]]:
        """What an expression gave over the last seconds: `metric` and `values`."""
        now = time.time()
        result: list[dict[str, Any]] = self.get(
            "query_range",
            query=expression,
            start=str(now - seconds),
            end=str(now),
            step=str(step),
        )["result"]
        return result


@contextmanager
def running_prometheus(
    directory: Path,
    targets: Mapping[str, str],
    *,
    rules: Sequence[Path] = (),
    alertmanager: str = "",
    interval: str = "500ms",
    labels: Mapping[str, str] | None = None,
) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `targets` (job to host:port); ready when the scope is entered.

    `alertmanager` is the host:port that alerts go to; rules are evaluated as often as it scrapes.
    """
    config = {
        "global": {
            "scrape_interval": interval,
            "scrape_timeout": interval,
            "evaluation_interval": interval,
        },
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [
            {
                "job_name": job,
                "static_configs": [{"targets": [address], "labels": dict(labels or {})}],
            }
            for job, address in targets.items()
        ],
        "alerting": {
            "alertmanagers": (
                [{"static_configs": [{"targets": [alertmanager]}]}] if alertmanager else []
            )
        },
    }
    file = directory / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = [
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        # What fires before it has found the Alertmanager is sent again after this, not after a minute.
        "--rules.alert.resend-delay=5s",
    ]
    with _running("prometheus", arguments, directory, f"{url}/-/ready"):
        yield Prometheus(url)


@contextmanager
def running_alertmanager(directory: Path, config: Path) -> Iterator[str]:
    """An Alertmanager with this configuration; yields its host:port."""
    address = f"127.0.0.1:{free_port()}"
    arguments = [
        f"--config.file={config}",
        f"--storage.path={directory / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with _running("alertmanager", arguments, directory, f"http://{address}/-/ready"):
        yield address


@contextmanager
def _running(name: str, arguments: Sequence[str], directory: Path, ready: str) -> Iterator[None]:
    log = directory / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [tool(name), *arguments],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:

        def is_ready() -> bool:
            assert process.poll() is None, f"{name} ended:\n{log.read_text()[-3000:]}"
            return _answers(ready)

        eventually(is_ready)
        yield
    finally:
        kill_group(process)


def eventually(look: Callable[[], T], within: float = PATIENCE) -> T:
    """What `look` gives once that is something."""
    give_up = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < give_up, f"still {found!r} after {within:g} s"
        time.sleep(0.1)
    return found


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _answers(url: str) -> bool:
    try:
        with _opener().open(url, timeout=PATIENCE) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _get(url: str, parameters: Mapping[str, str]) -> Any:
    try:
        with _opener().open(f"{url}?{urllib.parse.urlencode(parameters)}") as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{url}: {error.read().decode()}") from None
