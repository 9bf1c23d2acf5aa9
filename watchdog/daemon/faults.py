"""A fault of ours in the sums must not keep anybody from seeing and ending what is left alone."""

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class MoneyFaults:
    """Does sums, and remembers the first that failed since it was last asked."""

    _first: str = ""

    def do(self, work: Callable[[], T], otherwise: T) -> T:
        """What `work` gives, or `otherwise` where it fails unexpectedly."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - whatever it is, watching goes on without it
            if not self._first:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                self._first = (
                    f"{type(error).__name__} in {frame.name}, line {frame.lineno}: {error}"
                )
            return otherwise

    def take(self) -> str:
        """The first failure since the last time, in one sentence; nothing where there was none."""
        first, self._first = self._first, ""
        return first
