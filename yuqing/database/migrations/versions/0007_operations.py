"""Texts analysed by a job; a site's crawls by an index."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "analysis_batches",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("team_id", sa.Integer, sa.ForeignKey("teams.id"), nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )
    op.create_index("analysis_batches_by_team", "analysis_batches", ["team_id", "id"])
    op.create_table(
        "analysis_items",
        sa.Column(
            "batch_id", sa.BigInteger, sa.ForeignKey("analysis_batches.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("question", JSONB, nullable=False),
        sa.Column("answer", JSONB),
        sa.Column("problem", JSONB),
        sa.Column("answered_at", sa.DateTime(timezone=True)),
    )
    op.create_index("crawl_runs_by_site", "crawl_runs", ["site", "run_id"])


def downgrade() -> None:
    op.drop_index("crawl_runs_by_site", "crawl_runs")
    op.drop_table("analysis_items")
    op.drop_table("analysis_batches")
