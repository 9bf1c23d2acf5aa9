"""No file of the project names a place on somebody's machine, or where packages are fetched from."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Put together here, so that this file itself holds none of them.
PLACES = re.compile(rb"(?<![\w.~>})-])/(?:%s)/\w" % b"|".join((b"work", b"root", b"home", b"tmp")))
REGISTRIES = re.compile(
    b"|".join(
        re.escape(host) + rb"\." + end
        for host, end in (
            (b"pypi", b"org"),
            (b"pythonhosted", b"org"),
            (b"proxy.golang", b"org"),
            (b"sum.golang", b"org"),
            (b"npmjs", b"org"),
            (b"crates", b"io"),
        )
    )
)


def files() -> list[Path]:
    """What is under git, or would be with the next `git add`."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", [PLACES, REGISTRIES], ids=["places", "registries"])
def test_no_file_names_a_machines_places_or_a_registry(pattern):
    searched = files()
    assert len(searched) > 100
    found = [
        f"{path.relative_to(ROOT)}: {line.decode(errors='replace').strip()[:120]}"
        for path in searched
        for line in path.read_bytes().splitlines()
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["open('/{}/main/x')", "cd /{}/x", '"/{}/x"', "=/{}/x", "file:///{}/x", "`/{}/x`"]
)
def test_the_search_finds_places(text):
    for place in ("work", "root", "home", "tmp"):
        assert PLACES.search(text.format(place).encode())


@pytest.mark.parametrize("text", ["~/{}/x", "a/{}/x", "./{}/x", "{{x}}/{}/y", "$HOME/{}/x"])
def test_the_search_leaves_relative_places_alone(text):
    assert not PLACES.search(text.format("work").encode())
