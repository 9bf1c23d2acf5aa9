"""Whether the series, labels and label values that a PromQL expression names are exported."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from watchdog.core.deletion import Mode, Outcome
from watchdog.core.gates import GATES
from watchdog.expose.catalogue import SPECS, MetricSpec

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


# ---- what is exported --------------------------------------------------------------------------------

OF_PROMETHEUS = {"up": frozenset[str]()}
OF_TARGETS = frozenset({"job", "instance"})
"""The labels that Prometheus gives to every series it scrapes."""

VALUES: Mapping[str, frozenset[str]] = {
    "gate": frozenset(gate.name for gate in GATES),
    "mode": frozenset(Mode),
    "outcome": frozenset(Outcome),
}
"""The labels whose values are a known set."""


def series(spec: MetricSpec) -> dict[str, frozenset[str]]:
    """The series of one metric, each with its labels."""
    labels = frozenset(spec.labels)
    if spec.type != "histogram":
        return {spec.full_name: labels}
    name = spec.full_name
    return {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}


EXPORTED = {name: labels for spec in SPECS for name, labels in series(spec).items()}


def problems(expression: str, known: Mapping[str, frozenset[str]]) -> list[str]:
    """What this expression names and nobody exports."""
    names = names_of(expression)
    found = [problem for s in names.selectors for problem in _of_selector(s, known)]
    if all(s.metric in known for s in names.selectors):
        labels = OF_TARGETS.union(*(known[s.metric] for s in names.selectors))
        found += [f"no label {label}: {expression}" for label in names.grouped - labels]
    return found


def _of_selector(selector: Selector, known: Mapping[str, frozenset[str]]) -> list[str]:
    if selector.metric not in known:
        return [f"no metric {selector.metric}"]
    allowed = known[selector.metric] | OF_TARGETS
    found = [f"{selector.metric} has no {label}" for label in selector.matchers.keys() - allowed]
    for label, values in selector.matchers.items():
        if label in VALUES:
            found += [f"{label} is never {value}" for value in set(values) - VALUES[label]]
    return found
