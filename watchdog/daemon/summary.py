"""The orphaned rooms of one project as a report shows them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from watchdog.core.gates import Word
from watchdog.core.model import Episode, VerdictState
from watchdog.core.policy import Ruling
from watchdog.core.report import OrphanView
from watchdog.core.rooms import RoomBook
from watchdog.core.spend import Spend
from watchdog.daemon.accounts import Accounts, Bill
from watchdog.daemon.plan import MISSING
from watchdog.daemon.turns import in_turns


async def orphan_views(
    episodes: Sequence[Episode],
    book: RoomBook,
    accounts: Accounts,
    bill: Bill,
    *,
    rulings: Mapping[str, Ruling],
    words: Mapping[str, tuple[Word, ...]],
    watched: float,
    now: datetime,
) -> tuple[OrphanView, ...]:
    """One view per open episode, the oldest first. `watched` is the watched clock now (A9)."""
    views = []
    async for episode in in_turns(episodes):
        state = book.rooms[episode.room_sid]
        missing = book.is_missing(episode.room_sid)
        created = episode.room_created_at.timestamp() - book.skew
        views.append(
            OrphanView(
                episode=episode,
                state=VerdictState.UNKNOWN if missing else state.state,
                reason=MISSING if missing else state.reason,
                agent_name=accounts.main_agent(episode),
                age=max(0.0, watched - episode.watched_at_open),
                session_age=max(0.0, now.timestamp() - created),
                num_participants=state.snapshot.num_participants,
                spend=bill.episodes.get(episode.id, Spend()),
                ruling=rulings.get(episode.id),
                words=words.get(episode.id, ()),
            )
        )
    return tuple(sorted(views, key=lambda v: -v.age))
