"""What a test does where the machine lacks what it needs."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

PACKAGES = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "systemd-analyze": "systemd",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "unshare": "util-linux",
    "postgres": "postgresql",
}
"""The programs that tests start, and the Debian package that has each."""


def lacking(cure: str) -> NoReturn:
    """Skip the test on a person's machine, and fail it in CI: nothing is skipped there."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(cure, pytrace=False)
    pytest.skip(cure)


def tool(name: str) -> Path:
    """One of `PACKAGES` to start; without it the test does not run."""
    # Debian calls Alertmanager's binary prometheus-alertmanager.
    found = shutil.which(name) or shutil.which(f"prometheus-{name}")
    if found is None:
        lacking(f"{name} is missing: apt-get install {PACKAGES[name]}")
    return Path(found)
