"""Rate limits of keys, answers kept for repeated requests, the audit log by team."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("api_keys", sa.Column("requests_per_minute", sa.Integer(), nullable=True))
    op.create_index("api_keys_by_team", "api_keys", ["team_id", "id"], unique=False)
    op.create_index("audit_log_by_team", "audit_log", ["team_id", "id"], unique=False)
    op.create_table(
        "rate_limits",
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("spent_until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id"),
        prefixes=["UNLOGGED"],
    )
    op.create_table(
        "idempotent_requests",
        sa.Column("key_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_keys.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id", "name"),
    )


def downgrade() -> None:
    op.drop_table("idempotent_requests")
    op.drop_table("rate_limits")
    op.drop_index("audit_log_by_team", "audit_log")
    op.drop_index("api_keys_by_team", "api_keys")
    op.drop_column("api_keys", "requests_per_minute")
