"""An amount of money as two estimates, and what is not verified."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Spend:
    """An estimate in USD: certainly billed, possibly billed, and not verified to be running (A10)."""

    low: Decimal = Decimal(0)
    high: Decimal = Decimal(0)
    unverified: Decimal = Decimal(0)

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(
            self.low + other.low, self.high + other.high, self.unverified + other.unverified
        )
