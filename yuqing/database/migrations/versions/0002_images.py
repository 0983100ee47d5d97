"""The pictures of articles."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # With a default, so that a release without them can still write while the new one is rolled out.
    for table in ("documents", "staged_articles"):
        images = sa.Column("images", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False)
        op.add_column(table, images)


def downgrade() -> None:
    for table in ("staged_articles", "documents"):
        op.drop_column(table, "images")
