"""Real Prometheus and Alertmanager processes for tests, on loopback and on ports of their own."""

import subprocess
import time
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cli.program import eventually, get
from tests.needs import tool
from tests.realserver import free_port, kill_group


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
            return get(ready).status == 200

        eventually(is_ready)
        yield
    finally:
        kill_group(process)


def _get(url: str, parameters: Mapping[str, str]) -> Any:
    answer = get(f"{url}?{urllib.parse.urlencode(parameters)}")
    assert answer.status == 200, f"{url}: {answer.text}"
    return answer.json
