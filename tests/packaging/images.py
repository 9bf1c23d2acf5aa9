"""Builds the image where no container engine runs, and runs it as one would. Needs root.

buildah builds on a Debian 12 of debootstrap, made from this machine's own mirror. What runs has the image's
file system as its root, read-only, in a mount namespace of its own that ends with it.
"""

import ast
import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.needs import lacking, tool
from tests.realserver import kill_group

ROOT = Path(__file__).parents[2]
CACHE = Path.home() / ".cache" / "livekit-agent-watchdog"
BASE = "localhost/livekit-watchdog-base:12"
IMAGE = "localhost/livekit-watchdog:test"
PATIENCE = 900.0
"""Seconds anything may take before a test gives up: against hanging only."""

# Mounts are private to the namespace that `unshare` made, and gone with the last process in it.
CONTAIN = """
set -e
root=$1 data=$2 user=$3 group=$4 directory=$5
shift 5
mount --bind "$root" "$root"
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind "$data" "$root$directory"
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs \
  --inh-caps=-all --bounding-set=-all env -i -C "$directory" "$@"
"""


def require_tools() -> None:
    """Without what it needs a test does not run."""
    if os.geteuid() != 0:
        lacking("building and entering an image without an engine needs root")
    for name in ("buildah", "debootstrap", "unshare"):
        tool(name)


def run(*command: str | Path) -> str:
    """Run to the end, with mounts of its own; its standard output."""
    done = subprocess.run(
        # A namespace of processes, too: whatever it started ends with it.
        ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}{done.stderr[-5000:]}"
    return done.stdout


@dataclass(frozen=True)
class Image:
    """A built image, and its files."""

    root: Path
    base: Path
    config: dict[str, Any]

    @property
    def added_bytes(self) -> int:
        return size(self.root) - size(self.base)

    @contextmanager
    def started(
        self, data: Path, *command: str, **variables: str
    ) -> Iterator["subprocess.Popen[str]"]:
        """A command with the image's user, environment and volume, killed at the end of the scope."""
        user, _, group = self.config["User"].partition(":")
        [volume] = self.config["Volumes"]
        environment = [*self.config["Env"], *(f"{k}={v}" for k, v in variables.items())]
        process = subprocess.Popen(
            [
                *("unshare", "-m", "sh", "-c", CONTAIN, "contain"),
                *(self.root, data, user, group, volume, *environment, *command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            kill_group(process)

    def run(self, data: Path, *command: str, **variables: str) -> tuple[int, str]:
        """Run a command to its end: its exit code, and what it wrote to standard output."""
        with self.started(data, *command, **variables) as process:
            out, _ = process.communicate(timeout=PATIENCE)
            return process.returncode, out

    def volume(self, parent: Path) -> Path:
        """A new volume, owned as the image has it."""
        [place] = self.config["Volumes"]
        there = (self.root / place.lstrip("/")).stat()
        data = parent / "data"
        data.mkdir(mode=there.st_mode & 0o777)
        os.chown(data, there.st_uid, there.st_gid)
        return data


OF_APT = ("var/lib/apt/lists", "var/cache/apt")
"""What apt keeps of its own: a base that has just been made has it, and no published image does."""


def size(directory: Path) -> int:
    """How many bytes the files in it have, but for what apt keeps.

    The image has none of that: counted in the base it would make the image look smaller by as much.
    """
    left_out = {directory / path for path in OF_APT}
    total = 0
    for parent, folders, names in os.walk(directory):
        folders[:] = [name for name in folders if Path(parent) / name not in left_out]
        total += sum((Path(parent) / name).lstat().st_size for name in names)
    return total


@contextmanager
def built(directory: Path) -> Iterator[Image]:
    """The image of this checkout; what was made for it is gone when the scope ends."""
    store, secrets = directory / "store", directory / "secrets"
    secrets.mkdir(parents=True)
    buildah = (
        "buildah",
        "--root",
        store,
        "--runroot",
        directory / "run",
        "--storage-driver",
        "vfs",
    )
    try:
        base = debian()
        made = run(*buildah, "from", "scratch").strip()
        run(*buildah, "add", "--quiet", made, base, "/")
        run(*buildah, "commit", "--quiet", made, BASE)
        # Only Docker's own format holds a HEALTHCHECK.
        build = (*buildah, "bud", "--isolation", "chroot", "--format", "docker", "--tag", IMAGE)
        run(*build, "--build-arg", f"BASE={BASE}", *pip_secrets(secrets), ROOT)
        config = json.loads(run(*buildah, "inspect", "--type", "image", IMAGE))["Docker"]["config"]
        container = run(*buildah, "from", "--pull-never", IMAGE).strip()
        yield Image(Path(run(*buildah, "mount", container).strip()), base, config)
    finally:
        shutil.rmtree(directory)


def debian() -> Path:
    """A minimal Debian 12, kept for the next time."""
    place = CACHE / "debian-12"
    if not place.exists():
        part = place.with_name(f"{place.name}.{os.getpid()}")
        try:
            part.mkdir(parents=True)
            run("debootstrap", "--variant=minbase", "bookworm", part, debian_mirror())
            for archive in (part / "var/cache/apt/archives").glob("*.deb"):
                archive.unlink()
            # The rename is atomic: one that was cut short leaves no half system behind.
            part.rename(place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return place


def debian_mirror() -> str:
    """Where this machine's apt gets Debian from."""
    found: list[str] = []
    for file in [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]:
        text = file.read_text() if file.is_file() else ""
        found += re.findall(r"(?m)^deb (?:\[.*?\] )?(\S+) \w+ (?:.* )?main\b", text)
        for stanza in re.split(r"\n\s*\n", text):
            if re.search(r"(?m)^Components:.*\bmain\b", stanza):
                found += re.findall(r"(?m)^URIs: *(\S+)", stanza)
    # Other publishers call a component main, too.
    mirrors = [url for url in found if url.rstrip("/").endswith("/debian")]
    assert mirrors, "this machine's apt names no mirror of Debian"
    return mirrors[0]


def pip_secrets(directory: Path) -> list[str]:
    """How pip is configured here, as secrets of the build: they are in no layer of the image."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    )
    settings = {
        name.rpartition(".")[2]: str(ast.literal_eval(value))
        for name, _, value in (line.partition("=") for line in listed.stdout.splitlines())
    }
    kept = {"index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "default-timeout"}
    config = configparser.RawConfigParser()
    config["global"] = {name: value for name, value in settings.items() if name in kept}
    arguments = ["--secret", f"id=pip.conf,src={directory / 'pip.conf'}"]
    variables = (os.environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    if certificates := next(filter(None, (settings.get("cert"), *variables)), None):
        config["global"]["cert"] = "/run/secrets/ca.pem"
        arguments += ["--secret", f"id=ca.pem,src={certificates}"]
    with (directory / "pip.conf").open("w") as file:
        config.write(file)
    return arguments
