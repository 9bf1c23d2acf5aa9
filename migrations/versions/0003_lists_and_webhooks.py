"""Stored lists of rooms, the webhooks that were taken in, and how the last person left."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _utc() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "room_lists",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("list", sa.Text, nullable=False),
        sa.Column("pattern", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("since", _utc(), nullable=False),
        sa.Column("until", _utc()),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("removed_at", _utc()),
        sa.PrimaryKeyConstraint("id", name="pk_room_lists"),
    )
    op.create_index("ix_room_lists_removed_at", "room_lists", ["removed_at"])
    op.create_table(
        "webhook_ids",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", _utc(), nullable=False),
        sa.Column("ids", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project", "number", name="pk_webhook_ids"),
    )
    op.add_column("episodes", sa.Column("person_kinds", sa.Text))
    op.add_column("episodes", sa.Column("hung_up", sa.Boolean))
    op.add_column("episodes", sa.Column("watched_at_close", sa.Double))
    # JSON: the suspect rooms as of the tick.
    op.add_column("tick_journal", sa.Column("suspects", sa.Text))


def downgrade() -> None:
    with op.batch_alter_table("tick_journal") as journal:
        journal.drop_column("suspects")
    with op.batch_alter_table("episodes") as episodes:
        episodes.drop_column("watched_at_close")
        episodes.drop_column("hung_up")
        episodes.drop_column("person_kinds")
    op.drop_table("webhook_ids")
    op.drop_table("room_lists")
