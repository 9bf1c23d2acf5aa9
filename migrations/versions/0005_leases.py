"""Which replica acts on which project, where several share a database on a server."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _utc() -> sa.DateTime:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("project", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        # Goes up with each taking: what was begun under an older one is refused.
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("taken_at", _utc(), nullable=False),
        sa.Column("expires_at", _utc(), nullable=False),
        sa.PrimaryKeyConstraint("project", name="pk_leases"),
    )
    op.create_table(
        "replicas",
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("projects", sa.Text, nullable=False),  # JSON list
        sa.Column("seen_at", _utc(), nullable=False),
        sa.Column("expires_at", _utc(), nullable=False),
        sa.PrimaryKeyConstraint("holder", name="pk_replicas"),
    )


def downgrade() -> None:
    op.drop_table("replicas")
    op.drop_table("leases")
