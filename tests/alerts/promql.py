"""As much of PromQL as it takes to tell which series, labels and label values an expression names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<number>\d[\w.]*)|(?P<name>[a-zA-Z_][\w:]*)|(?P<sign>=~|!~|!=|.))""",
    re.VERBOSE,
)
_GROUPING = frozenset({"by", "without", "on", "ignoring", "group_left", "group_right"})
_WORDS = frozenset({"and", "or", "unless", "offset", "bool", "inf", "nan"}) | frozenset(
    {"sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile", "group"}
)


@dataclass(frozen=True)
class Selector:
    """A metric in an expression, and what is asked of its labels: label to the values that are named."""

    metric: str
    matchers: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Names:
    """All that an expression names."""

    selectors: tuple[Selector, ...]
    grouped: frozenset[str]
    """Labels of by, without, on, ignoring, group_left and group_right."""


def names_of(expression: str) -> Names:
    """What this expression names; functions and keywords are not told."""
    tokens = [(m.lastgroup, m[m.lastgroup or 0]) for m in _TOKEN.finditer(expression.strip())]
    walk = iter(enumerate(tokens))
    selectors, grouped = [], set[str]()
    for at, (kind, text) in walk:
        after = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        if kind != "name":
            continue
        if text in _GROUPING:
            if after == "(":
                grouped |= {said for sort, said in _until(walk, ")") if sort == "name"}
        elif text not in _WORDS and after != "(":
            selectors.append(Selector(text, _matchers(walk) if after == "{" else {}))
    return Names(tuple(selectors), frozenset(grouped))


Token = tuple[str | None, str]


def _until(walk: Iterator[tuple[int, Token]], end: str) -> Iterator[Token]:
    for _, token in walk:
        if token[1] == end:
            return
        yield token


def _matchers(walk: Iterator[tuple[int, Token]]) -> dict[str, tuple[str, ...]]:
    matchers, label = dict[str, tuple[str, ...]](), ""
    for kind, text in _until(walk, "}"):
        if kind == "name":
            label = text
        elif kind == "string":
            matchers[label] = tuple(text[1:-1].split("|"))
    return matchers


_QUERY = re.compile(r'query\s*\(?(?:\s*printf\s*)?\s*"([^"]*)"')


def queries_in(template: str) -> list[str]:
    """The expressions that an annotation's template asks for itself."""
    return [found.replace("%q", '""') for found in _QUERY.findall(template)]
