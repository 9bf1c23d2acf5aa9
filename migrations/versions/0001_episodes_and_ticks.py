"""Episodes, their agents, the tick journal and what closed episodes have cost."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _utc() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def _bounds() -> list[sa.Column]:
    return [
        sa.Column("last_attended_at", _utc()),
        sa.Column("first_orphaned_at", _utc(), nullable=False),
        sa.Column("last_seen_orphaned_at", _utc(), nullable=False),
        sa.Column("first_gone_at", _utc()),
    ]


def upgrade() -> None:
    op.create_table(
        "episodes",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("room_sid", sa.Text, nullable=False),
        sa.Column("room_name", sa.Text, nullable=False),
        sa.Column("room_created_at", _utc(), nullable=False),
        sa.Column("empty_timeout", sa.BigInteger, nullable=False),
        sa.Column("departure_timeout", sa.BigInteger, nullable=False),
        sa.Column("person_seen", sa.Boolean),
        *_bounds(),
        sa.Column("watched_at_open", sa.Double, nullable=False),
        sa.Column("last_reachable_at", _utc()),
        sa.Column("last_probed_at", _utc()),
        sa.Column("stranded_since", _utc()),
        sa.Column("close_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_episodes"),
    )
    op.create_index("ix_episodes_project_close_reason", "episodes", ["project", "close_reason"])
    op.create_index("ix_episodes_project_room_name", "episodes", ["project", "room_name"])
    op.create_index("ix_episodes_project_room_sid", "episodes", ["project", "room_sid"])
    op.create_index("ix_episodes_first_orphaned_at", "episodes", ["first_orphaned_at"])
    op.create_table(
        "episode_agents",
        sa.Column("episode_id", sa.Text, nullable=False),
        sa.Column("participant_sid", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("joined_at", _utc()),
        *_bounds(),
        sa.PrimaryKeyConstraint("episode_id", "participant_sid", name="pk_episode_agents"),
        sa.ForeignKeyConstraint(
            ["episode_id"],
            ["episodes.id"],
            name="fk_episode_agents_episode_id_episodes",
            ondelete="CASCADE",
        ),
    )
    op.create_table(
        "tick_journal",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("slot", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("at", _utc(), nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("watched_seconds", sa.Double, nullable=False),
        sa.Column("blind_seconds", sa.Double, nullable=False),
        sa.Column("last_good_at", _utc()),
        sa.Column("seen", sa.Text, nullable=False),
        sa.Column("probed", sa.Text, nullable=False),
        sa.Column("verdicts", sa.Text, nullable=False),
        sa.Column("exported", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("project", "slot", name="pk_tick_journal"),
    )
    op.create_table(
        "closed_spend",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("agent_name", sa.Text, nullable=False),
        sa.Column("low", sa.BigInteger, nullable=False),
        sa.Column("high", sa.BigInteger, nullable=False),
        sa.Column("unverified", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("project", "agent_name", name="pk_closed_spend"),
    )


def downgrade() -> None:
    op.drop_table("closed_spend")
    op.drop_table("tick_journal")
    op.drop_table("episode_agents")
    op.drop_table("episodes")
