"""Whether two globs can name the same thing."""

import re
from fnmatch import fnmatchcase
from functools import cache

_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def overlap(one: str, two: str) -> bool:
    """Whether some name fits both globs, in the sense of `fnmatchcase`."""
    first, second = (tuple(_TOKEN.findall(glob)) for glob in (one, two))

    # What is left of both, from these tokens on: a stack of its own, as globs can be long.
    todo, seen = [(0, 0)], {(0, 0)}
    while todo:
        i, j = todo.pop()
        if i == len(first) and j == len(second):
            return True
        for step in _steps(first[i : i + 1], second[j : j + 1]):
            there = i + step[0], j + step[1]
            if there not in seen:
                seen.add(there)
                todo.append(there)
    return False


def _steps(a: tuple[str, ...], b: tuple[str, ...]) -> list[tuple[int, int]]:
    """How far both can go on together, by the next token of each; none at an end."""
    if a and a[0].startswith("*"):
        return [(1, 0), (0, 1)] if b else [(1, 0)]
    if b and b[0].startswith("*"):
        return [(0, 1), (1, 0)] if a else [(0, 1)]
    return [(1, 1)] if a and b and _share(a[0], b[0]) else []


@cache
def _share(a: str, b: str) -> bool:
    """Whether some character fits both; two sets that meet do so at, or beside, one that they name."""
    named = {ord(c) for c in a + b} | {ord("x"), 0xFFFF}
    near = {n + d for n in named for d in (-1, 0, 1) if 0 < n + d < 0x10FFFF}
    return any(fnmatchcase(chr(n), a) and fnmatchcase(chr(n), b) for n in near)
