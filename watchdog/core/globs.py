"""Whether two globs can name the same thing."""

import re
from fnmatch import fnmatchcase
from functools import cache

_TOKEN = re.compile(r"\*+|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)


def overlap(one: str, two: str) -> bool:
    """Whether some name fits both globs, in the sense of `fnmatchcase`."""
    first, second = (tuple(_TOKEN.findall(glob)) for glob in (one, two))

    @cache
    def meet(i: int, j: int) -> bool:
        """Whether what is left of both can fit the same text."""
        if i == len(first) and j == len(second):
            return True
        a = first[i] if i < len(first) else ""
        b = second[j] if j < len(second) else ""
        if a.startswith("*"):
            return meet(i + 1, j) or (bool(b) and meet(i, j + 1))
        if b.startswith("*"):
            return meet(i, j + 1) or (bool(a) and meet(i + 1, j))
        return bool(a) and bool(b) and _share(a, b) and meet(i + 1, j + 1)

    return meet(0, 0)


def _share(a: str, b: str) -> bool:
    """Whether some character fits both; two sets that meet do so at, or beside, one that they name."""
    named = {ord(c) for c in a + b} | {ord("x"), 0xFFFF}
    near = {n + d for n in named for d in (-1, 0, 1) if 0 < n + d < 0x10FFFF}
    return any(fnmatchcase(chr(n), a) and fnmatchcase(chr(n), b) for n in near)
