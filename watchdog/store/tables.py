"""The tables, for SQLite and Postgres alike: nothing here that one of the two could not run."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeDecorator

RING = 4096
"""Slots of the tick journal per project.

More than an hour at the shortest poll interval there can be, 1 s: an hourly probe is noted anew before
the slot that held the one before is overwritten, and nothing has to be flushed.
"""

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_NANO = Decimal(10) ** 9
_LARGEST = 2**63 - 1


def storable(text: str) -> str:
    """The text as a database keeps it: NUL and lone surrogates become U+FFFD.

    Postgres refuses a NUL, and neither database takes half a surrogate pair; every other character of
    a room's or a participant's name is kept as it is (T45).
    """
    return _UNSTORABLE.sub("\ufffd", text)


class CleanText(TypeDecorator[str]):
    """Text of any length and any characters, made storable on the way in."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """To the database."""
        return None if value is None else storable(value)


class Utc(TypeDecorator[datetime]):
    """An aware time, in and out in UTC, to the microsecond; a naive one is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:  # noqa: ARG002
        """From the database."""
        if value is None:
            return None
        # SQLite has no time zones: what it gives back is the UTC that went in.
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Usd(TypeDecorator[Decimal]):
    """US dollars, kept as whole nano-dollars so that sums in SQL are exact; up to 9.2 billion."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, dialect: sa.Dialect) -> int | None:  # noqa: ARG002
        """To the database."""
        if value is None:
            return None
        if not value.is_finite() or abs(value * _NANO) > _LARGEST:
            raise ValueError(
                "an amount of money that is not finite, or too large, cannot be stored"
            )
        return round(value * _NANO)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> Decimal | None:  # noqa: ARG002
        """From the database."""
        return None if value is None else Decimal(value) / _NANO


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _bounds() -> list[sa.Column[Any]]:
    """The four times that enclose a span (A5)."""
    return [
        sa.Column("last_attended_at", Utc),
        sa.Column("first_orphaned_at", Utc, nullable=False),
        sa.Column("last_seen_orphaned_at", Utc, nullable=False),
        sa.Column("first_gone_at", Utc),
    ]


episodes = sa.Table(
    "episodes",
    metadata,
    sa.Column("id", CleanText, primary_key=True),
    sa.Column("project", CleanText, nullable=False),
    sa.Column("room_sid", CleanText, nullable=False),
    sa.Column("room_name", CleanText, nullable=False),
    sa.Column("room_created_at", Utc, nullable=False),
    # LiveKit's own type is an unsigned 32-bit number, more than an INTEGER of Postgres holds.
    sa.Column("empty_timeout", sa.BigInteger, nullable=False),
    sa.Column("departure_timeout", sa.BigInteger, nullable=False),
    sa.Column("person_seen", sa.Boolean),
    *_bounds(),
    sa.Column("watched_at_open", sa.Double, nullable=False),
    sa.Column("last_reachable_at", Utc),
    sa.Column("last_probed_at", Utc),
    sa.Column("stranded_since", Utc),
    sa.Column("close_reason", CleanText),
    # NULL in rows that are older than the column
    sa.Column("simulated", sa.Boolean),
    sa.Column("person_kinds", sa.Text),  # JSON list; NULL: not known
    sa.Column("hung_up", sa.Boolean),
    sa.Column("watched_at_close", sa.Double),
    sa.Column("skew", sa.Double),  # NULL: not measured
    sa.Column("policy", CleanText),
    sa.Index(None, "project", "close_reason"),  # the open ones: close_reason IS NULL
    sa.Index(None, "project", "room_name"),
    sa.Index(None, "project", "room_sid"),
    sa.Index(None, "first_orphaned_at"),
    sa.Index(None, "project", "first_gone_at"),  # the newest closed ones, and the oldest
)

episode_agents = sa.Table(
    "episode_agents",
    metadata,
    sa.Column(
        "episode_id", CleanText, sa.ForeignKey("episodes.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("participant_sid", CleanText, primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),  # in the order they came
    sa.Column("identity", CleanText, nullable=False),
    sa.Column("agent_name", CleanText, nullable=False),
    sa.Column("kind", CleanText, nullable=False),
    sa.Column("role", CleanText, nullable=False),
    sa.Column("joined_at", Utc),
    *_bounds(),
)

tick_journal = sa.Table(
    "tick_journal",
    metadata,
    sa.Column("project", CleanText, primary_key=True),
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.BigInteger, nullable=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("result", CleanText, nullable=False),
    sa.Column("message", CleanText, nullable=False),
    sa.Column("watched_seconds", sa.Double, nullable=False),
    sa.Column("blind_seconds", sa.Double, nullable=False),
    # Carried from record to record: the last good tick may be older than the ring.
    sa.Column("last_good_at", Utc),
    # JSON as text; amounts of money in it are strings.
    sa.Column("seen", sa.Text, nullable=False),
    sa.Column("probed", sa.Text, nullable=False),
    sa.Column("verdicts", sa.Text, nullable=False),
    sa.Column("exported", sa.Text, nullable=False),
    # What only the daemon knows of its gates, for the commands beside it; older records have none.
    sa.Column("gates", sa.Text),
    # JSON: what deletions avoided, as exported; older records have none.
    sa.Column("avoided", sa.Text),
    # JSON: when the present day and month began, and at what spend; older records have none.
    sa.Column("tally", sa.Text),
    # JSON: the suspect rooms as of the tick; older records have none.
    sa.Column("suspects", sa.Text),
)

closed_spend = sa.Table(
    "closed_spend",
    metadata,
    sa.Column("project", CleanText, primary_key=True),
    sa.Column("agent_name", CleanText, primary_key=True),
    sa.Column("low", Usd, nullable=False),
    sa.Column("high", Usd, nullable=False),
    sa.Column("unverified", Usd, nullable=False),
)

ledger = sa.Table(
    "ledger",
    metadata,
    sa.Column(
        "episode_id", CleanText, sa.ForeignKey("episodes.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("agent_name", CleanText, primary_key=True),
    sa.Column("profile", CleanText, primary_key=True),
    sa.Column("meter", CleanText, primary_key=True),
    sa.Column("plan", CleanText, nullable=False),
    sa.Column("unit", CleanText, nullable=False),
    sa.Column("price", Usd),  # NULL: it has none
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("low", Usd, nullable=False),
    sa.Column("high", Usd, nullable=False),
    sa.Column("unverified", Usd, nullable=False),
    sa.Column("book_version", CleanText, nullable=False),
    sa.Column("book_hash", CleanText, nullable=False),
)
"""What an episode cost by meter, as reckoned when its own row was last written."""

corrections = sa.Table(
    "corrections",
    metadata,
    sa.Column("project", CleanText, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),  # of the tick
    sa.Column("episode_id", CleanText, primary_key=True),
    sa.Column("agent_name", CleanText, primary_key=True),
    sa.Column("at", Utc, nullable=False),
    sa.Column("low", Usd, nullable=False),
    sa.Column("high", Usd, nullable=False),
    sa.Column("unverified", Usd, nullable=False),
)
"""By how much less an episode turned out to have cost: counters that were exported do not fall."""

avoided = sa.Table(
    "avoided",
    metadata,
    sa.Column("episode_id", CleanText, primary_key=True),
    sa.Column("agent_name", CleanText, primary_key=True),
    sa.Column("project", CleanText, nullable=False),
    sa.Column("room_name", CleanText, nullable=False),
    sa.Column("basis", CleanText, nullable=False),
    sa.Column("began", Utc, nullable=False),
    sa.Column("until", Utc, nullable=False),
    sa.Column("rate", Usd, nullable=False),  # an hour
    sa.Column("provider_from", Utc, nullable=False),
    sa.Column("provider_until", Utc, nullable=False),
    sa.Column("provider_rate", Usd, nullable=False),
    sa.Column("stopped_at", Utc),
    sa.Column("booked", Usd),  # NULL: not over yet
    sa.Index(None, "project", "began"),
)
"""What verified deletions avoid."""

daily_spend = sa.Table(
    "daily_spend",
    metadata,
    sa.Column("project", CleanText, primary_key=True),
    sa.Column("day", CleanText, primary_key=True),  # in UTC, like 2026-03-01
    # A digest of the text below and the price: shorter than they are, and a price can be NULL.
    sa.Column("key", CleanText, primary_key=True),
    sa.Column("agent_name", CleanText, nullable=False),
    sa.Column("policy", CleanText, nullable=False),
    sa.Column("close_reason", CleanText, nullable=False),
    sa.Column("profile", CleanText, nullable=False),
    sa.Column("meter", CleanText, nullable=False),
    sa.Column("plan", CleanText, nullable=False),
    sa.Column("unit", CleanText, nullable=False),
    sa.Column("price", Usd),  # NULL: it has none
    sa.Column("book_version", CleanText, nullable=False),
    sa.Column("book_hash", CleanText, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("low", Usd, nullable=False),
    sa.Column("high", Usd, nullable=False),
    sa.Column("unverified", Usd, nullable=False),
)
"""What the ledger said of episodes that are no longer kept, by day."""

daily_counts = sa.Table(
    "daily_counts",
    metadata,
    sa.Column("project", CleanText, primary_key=True),
    sa.Column("day", CleanText, primary_key=True),
    sa.Column("agent_name", CleanText, primary_key=True),
    sa.Column("policy", CleanText, primary_key=True),
    sa.Column("close_reason", CleanText, primary_key=True),
    sa.Column("episodes", sa.BigInteger, nullable=False),
    sa.Column("never_attended", sa.BigInteger, nullable=False),
    sa.Column("orphaned_seconds", sa.Double, nullable=False),
)
"""How many episodes that are no longer kept began on a day, and how long rooms were orphaned on it."""

daily_avoided = sa.Table(
    "daily_avoided",
    metadata,
    sa.Column("project", CleanText, primary_key=True),
    sa.Column("day", CleanText, primary_key=True),  # on which the deletions were
    sa.Column("agent_name", CleanText, primary_key=True),
    sa.Column("basis", CleanText, primary_key=True),
    sa.Column("booked", Usd, nullable=False),
)
"""What deletions avoided whose own rows are no longer kept."""

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Utc, nullable=False),
    sa.Column("project", CleanText, nullable=False),
    sa.Column("kind", CleanText, nullable=False),
    sa.Column("actor", CleanText, nullable=False),
    sa.Column("room_name", CleanText, nullable=False),
    sa.Column("room_sid", CleanText, nullable=False),
    sa.Column("episode", CleanText, nullable=False),
    sa.Column("policy", CleanText, nullable=False),
    sa.Column("intent", CleanText, nullable=False),
    sa.Column("outcome", CleanText),
    sa.Column("why", CleanText, nullable=False),
    sa.Column("details", sa.Text, nullable=False),  # JSON
    sa.Index(None, "project", "kind", "at"),
    sa.Index(None, "project", "room_name"),
    sa.Index(None, "intent"),
    sa.Index(None, "episode"),
)
"""What was decided and done, line by line: rows are added, and never changed."""

pauses = sa.Table(
    "pauses",
    metadata,
    sa.Column("project", CleanText, primary_key=True),
    sa.Column("since", Utc, nullable=False),
    sa.Column("actor", CleanText, nullable=False),
    sa.Column("reason", CleanText, nullable=False),
)
"""The projects in which nothing is deleted for now."""

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("id", CleanText, primary_key=True),
    sa.Column("project", CleanText, nullable=False),
    sa.Column("room_name", CleanText, nullable=False),
    sa.Column("room_sid", CleanText, nullable=False),
    sa.Column("actor", CleanText, nullable=False),
    sa.Column("reason", CleanText, nullable=False),
    sa.Column("asked_at", Utc, nullable=False),
    sa.Column("closed_at", Utc),  # answered in the audit, or withdrawn
    sa.Index(None, "project", "closed_at"),
)
"""Deletions by hand that the running daemon is to carry out."""

room_lists = sa.Table(
    "room_lists",
    metadata,
    sa.Column("id", CleanText, primary_key=True),
    sa.Column("list", CleanText, nullable=False),  # allow or protect
    sa.Column("pattern", CleanText, nullable=False),
    sa.Column("project", CleanText, nullable=False),  # empty: every project
    sa.Column("since", Utc, nullable=False),
    sa.Column("until", Utc),
    sa.Column("actor", CleanText, nullable=False),
    sa.Column("reason", CleanText, nullable=False),
    sa.Column("removed_at", Utc),
    sa.Index(None, "removed_at"),
)
"""Rooms that may be deleted, or never are, as operators add them while the daemon runs."""

webhook_ids = sa.Table(
    "webhook_ids",
    metadata,
    sa.Column("project", CleanText, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),  # of the tick
    sa.Column("at", Utc, nullable=False),
    sa.Column("ids", sa.Text, nullable=False),  # JSON list
)
"""The webhooks that a tick's commit has taken in, kept for as long as they can be repeated."""

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("project", CleanText, primary_key=True),
    sa.Column("holder", CleanText, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("taken_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
)
"""Which replica acts on a project, by the database server's clock; used on Postgres alone.

A row stays for ever: `token` goes up with each taking, and a writer that has an older one is refused.
"""

replicas = sa.Table(
    "replicas",
    metadata,
    sa.Column("holder", CleanText, primary_key=True),
    sa.Column("name", CleanText, nullable=False),
    sa.Column("projects", sa.Text, nullable=False),  # JSON list
    sa.Column("seen_at", Utc, nullable=False),
    sa.Column("expires_at", Utc, nullable=False),
)
"""The processes that share the projects, while they live; used on Postgres alone."""
