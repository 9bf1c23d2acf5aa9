"""The ledger by episode and meter, corrections downwards, what deletions avoid, and sums by day."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _utc() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _amounts() -> list[sa.Column]:
    return [
        sa.Column("low", sa.BigInteger, nullable=False),
        sa.Column("high", sa.BigInteger, nullable=False),
        sa.Column("unverified", sa.BigInteger, nullable=False),
    ]


def upgrade() -> None:
    op.add_column("episodes", sa.Column("skew", sa.Double))
    op.add_column("episodes", sa.Column("policy", sa.Text))
    # JSON: what deletions avoided, as exported.
    op.add_column("tick_journal", sa.Column("avoided", sa.Text))
    # JSON: when the present day and month began, and at what spend.
    op.add_column("tick_journal", sa.Column("tally", sa.Text))
    op.create_table(
        "ledger",
        sa.Column("episode_id", sa.Text, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("meter", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger),
        sa.Column("seconds", sa.Double, nullable=False),
        *_amounts(),
        sa.Column("book_version", sa.Text, nullable=False),
        sa.Column("book_hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("episode_id", "agent_name", "profile", "meter", name="pk_ledger"),
        sa.ForeignKeyConstraint(
            ["episode_id"],
            ["episodes.id"],
            name="fk_ledger_episode_id_episodes",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "corrections",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("episode_id", sa.Text, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("at", _utc(), nullable=False),
        *_amounts(),
        sa.PrimaryKeyConstraint(
            "project", "number", "episode_id", "agent_name", name="pk_corrections"
        ),
    )
    op.create_table(
        "avoided",
        sa.Column("episode_id", sa.Text, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("room_name", sa.Text, nullable=False),
        sa.Column("basis", sa.Text, nullable=False),
        sa.Column("began", _utc(), nullable=False),
        sa.Column("until", _utc(), nullable=False),
        sa.Column("rate", sa.BigInteger, nullable=False),
        sa.Column("provider_from", _utc(), nullable=False),
        sa.Column("provider_until", _utc(), nullable=False),
        sa.Column("provider_rate", sa.BigInteger, nullable=False),
        sa.Column("stopped_at", _utc()),
        sa.Column("booked", sa.BigInteger),
        sa.PrimaryKeyConstraint("episode_id", "agent_name", name="pk_avoided"),
    )
    op.create_index("ix_avoided_project_began", "avoided", ["project", "began"])
    op.create_index("ix_episodes_project_first_gone_at", "episodes", ["project", "first_gone_at"])
    _create_daily_tables()


def _create_daily_tables() -> None:
    op.create_table(
        "daily_spend",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("close_reason", sa.Text, nullable=False),
        sa.Column("profile", sa.Text, nullable=False),
        sa.Column("meter", sa.Text, nullable=False),
        sa.Column("plan", sa.Text, nullable=False),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("price", sa.BigInteger),
        sa.Column("book_version", sa.Text, nullable=False),
        sa.Column("book_hash", sa.Text, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        *_amounts(),
        sa.PrimaryKeyConstraint("project", "day", "key", name="pk_daily_spend"),
    )
    op.create_table(
        "daily_counts",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("close_reason", sa.Text, nullable=False),
        sa.Column("episodes", sa.BigInteger, nullable=False),
        sa.Column("never_attended", sa.BigInteger, nullable=False),
        sa.Column("orphaned_seconds", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint(
            "project", "day", "agent_name", "policy", "close_reason", name="pk_daily_counts"
        ),
    )
    op.create_table(
        "daily_avoided",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("basis", sa.Text, nullable=False),
        sa.Column("booked", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project", "day", "agent_name", "basis", name="pk_daily_avoided"),
    )


def downgrade() -> None:
    op.drop_table("daily_avoided")
    op.drop_table("daily_counts")
    op.drop_table("daily_spend")
    op.drop_index("ix_episodes_project_first_gone_at", "episodes")
    op.drop_table("avoided")
    op.drop_table("corrections")
    op.drop_table("ledger")
    with op.batch_alter_table("tick_journal") as journal:
        journal.drop_column("tally")
        journal.drop_column("avoided")
    with op.batch_alter_table("episodes") as episodes:
        episodes.drop_column("policy")
        episodes.drop_column("skew")
