"""The audit, and what operators tell a running daemon."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _utc() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("number", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("at", _utc(), nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("room_name", sa.Text, nullable=False),
        sa.Column("room_sid", sa.Text, nullable=False),
        sa.Column("episode", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("intent", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_audit"),
    )
    op.create_index("ix_audit_project_kind_at", "audit", ["project", "kind", "at"])
    op.create_index("ix_audit_project_room_name", "audit", ["project", "room_name"])
    op.create_index("ix_audit_intent", "audit", ["intent"])
    op.create_index("ix_audit_episode", "audit", ["episode"])
    op.create_table(
        "pauses",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("since", _utc(), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project", name="pk_pauses"),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("room_name", sa.Text, nullable=False),
        sa.Column("room_sid", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("asked_at", _utc(), nullable=False),
        sa.Column("closed_at", _utc()),
        sa.PrimaryKeyConstraint("id", name="pk_requests"),
    )
    op.create_index("ix_requests_project_closed_at", "requests", ["project", "closed_at"])
    # JSON: what only the daemon knows of its gates, for the commands beside it.
    op.add_column("tick_journal", sa.Column("gates", sa.Text))
    op.add_column("episodes", sa.Column("simulated", sa.Boolean))


def downgrade() -> None:
    with op.batch_alter_table("episodes") as episodes:
        episodes.drop_column("simulated")
    with op.batch_alter_table("tick_journal") as journal:
        journal.drop_column("gates")
    op.drop_table("requests")
    op.drop_table("pauses")
    op.drop_table("audit")
