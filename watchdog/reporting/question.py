"""What a report is asked for, and what it reckons with."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from watchdog.core.policy import Policy
from watchdog.core.profiles import Tariffs
from watchdog.reporting.entries import Entry
from watchdog.reporting.report import TOP, By
from watchdog.reporting.window import Window

Each = Callable[[Iterable[Entry]], None]
"""What is done with the entries of an episode, or of history that was rolled up, as they are read."""


@dataclass(frozen=True, slots=True)
class Books:
    """What a report reckons with: the tariffs and the policies of each configured project."""

    tariffs: Mapping[str, Tariffs]
    policies: Mapping[str, Sequence[Policy]]


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked for; `project` is None for all of them."""

    window: Window
    by: tuple[By, ...] = (By.PROJECT, By.AGENT)
    project: str | None = None
    top: int = TOP
    left: Mapping[str, Decimal] = field(default_factory=dict)
    """What is left of the plan's allowances, by meter in its own unit; empty where nobody said."""
