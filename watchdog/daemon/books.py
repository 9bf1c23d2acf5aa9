"""All of one project's money: what orphans cost, what deletions avoid, what of the budgets is spent."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial

from watchdog.core.deletion import BY_POLICY, AuditEntry
from watchdog.core.ledger import Postings, lines_of
from watchdog.core.model import Episode
from watchdog.core.periods import BudgetView, Period, Tally
from watchdog.core.profiles import Tariffs
from watchdog.core.records import ProjectMemory
from watchdog.core.spend import Spend
from watchdog.daemon.accounts import Accounts, Bill
from watchdog.daemon.avoided import AvoidedSpend, Sums

GIVEN_UP = timedelta(hours=6)
"""A deletion whose episode was not found for so long avoids nothing that we know of."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Everything there is to say at one moment; it may be seen once it is on disk."""

    bill: Bill
    avoided: Sums
    tally: Tally


class Books:
    """What is reckoned, and what was committed and may be seen.

    `ended` gives the episode of a room that is gone, by its SID.
    """

    def __init__(
        self,
        tariffs: Tariffs,
        budgets: Mapping[Period, Decimal],
        *,
        ended: Callable[[str], Episode | None],
    ) -> None:
        self.accounts = Accounts(tariffs)
        self._faults = self.accounts.faults
        self._tariffs = tariffs
        self._budgets = budgets
        self._avoided = AvoidedSpend(self.accounts.names)
        self._tally = Tally()
        self._ended = ended
        self._verified: list[AuditEntry] = []

    def restore(self, memory: ProjectMemory) -> None:
        """Go on where an earlier run stopped."""
        last = memory.last
        self.accounts.restore(memory.closed_spend, last.exported if last else {})
        self._avoided.restore(memory, last)
        self._tally = last.tally if last else Tally()
        if last and not self._tally.began:
            # The record is older than tallies: what was spent by then is no part of the present periods.
            self._tally = Tally(sum(last.exported.values(), Spend()))

    def shift(self, by: timedelta) -> None:
        """Our clock was set."""
        self._avoided.shift(by)

    def note_deletions(
        self, verified: Iterable[AuditEntry], listed: Iterable[str], now: datetime
    ) -> None:
        """Take in deletions that took effect, and the names of the rooms that there are.

        Spend is avoided from the end of the episode on; a kill can have left it open for now.
        """
        self._avoided.seen(listed)
        waiting: list[AuditEntry] = []
        for entry in (*self._verified, *verified):
            if entry.actor != BY_POLICY:
                continue  # a deletion by hand is not the watchdog's doing
            if (episode := self._ended(entry.room_sid)) is not None:
                self._faults.do(partial(self._avoided.deleted, episode, self._tariffs), None)
            elif entry.at >= now - GIVEN_UP:
                waiting.append(entry)
        self._verified = waiting

    def statement(self, bill: Bill, now: datetime) -> Statement:
        """What there is to say besides a bill, as of the same moment."""
        avoided = self._faults.do(
            lambda: self._avoided.bill(bill.upto), dict(self._avoided.exported)
        )
        tally = self._faults.do(lambda: self._tally.at(now, bill.exported), self._tally)
        return Statement(bill, avoided, tally)

    def postings(self, changed: Iterable[Episode], statement: Statement) -> Postings:
        """What the ledger says anew: of the episodes that are written anew, and of what deletions avoid."""
        upto = statement.bill.upto
        lines = {
            e.id: self._faults.do(partial(lines_of, e, self._tariffs, upto=upto), None)
            for e in changed
        }
        return Postings(
            upto,
            lines={key: given for key, given in lines.items() if given is not None},
            corrections=self.accounts.corrections,
            avoided=self._avoided.uncommitted,
        )

    def take_fault(self) -> str:
        """What was wrong with our sums since this was last asked: a fault of ours, in one sentence."""
        return self._faults.take()

    def committed(self, statement: Statement) -> None:
        """It is on disk."""
        self.accounts.committed(statement.bill)
        self._avoided.committed(statement.avoided)
        self._tally = statement.tally

    @property
    def avoided(self) -> Mapping[tuple[str, str], Decimal]:
        """What deletions have avoided, in USD by agent name and basis."""
        return self._avoided.exported

    @property
    def budgets(self) -> dict[Period, BudgetView]:
        """What there is for each period, and what of it is spent."""
        return {p: BudgetView(limit, self._tally.spent(p)) for p, limit in self._budgets.items()}
