"""Events of coverage, in an order in which none can be missed."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_FUNCTIONS = """
CREATE FUNCTION tell_of_coverage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (kind, doc_id, company_id, payload)
    SELECT 'document', doc_id, company_id, '{}' FROM changed ORDER BY time, doc_id, company_id;
    RETURN NULL;
END $$;

CREATE FUNCTION tell_of_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO events (kind, doc_id, company_id, payload)
    SELECT 'verdict', c.doc_id, c.company_id,
        jsonb_build_object('sentiment', c.sentiment, 'risk_level', c.risk_level, 'corrected', c.corrected)
    FROM changed c JOIN before b ON b.doc_id = c.doc_id AND b.company_id = c.company_id
    WHERE c.sentiment IS NOT NULL
        AND (c.sentiment, c.risk_level, c.corrected) IS DISTINCT FROM (b.sentiment, b.risk_level, b.corrected)
    ORDER BY c.time, c.doc_id, c.company_id;
    RETURN NULL;
END $$;

CREATE TRIGGER coverage_tell AFTER INSERT ON coverage
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION tell_of_coverage();
CREATE TRIGGER coverage_tell_again AFTER UPDATE ON coverage
    REFERENCING NEW TABLE AS changed OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION tell_of_verdicts();
"""


def upgrade() -> None:
    op.add_column(
        "events",
        sa.Column(
            "transaction",
            sa.BigInteger(),
            server_default=sa.text("(pg_current_xact_id()::text)::bigint"),
            nullable=False,
        ),
    )
    op.create_index("events_in_order", "events", ["transaction", "id"], unique=False)
    op.create_index("events_by_age", "events", ["created_at"], unique=False)
    op.get_bind().connection.cursor().execute(_FUNCTIONS)


def downgrade() -> None:
    op.execute("DROP TRIGGER coverage_tell ON coverage")
    op.execute("DROP TRIGGER coverage_tell_again ON coverage")
    op.execute("DROP FUNCTION tell_of_coverage(), tell_of_verdicts()")
    op.drop_index("events_by_age", "events")
    op.drop_index("events_in_order", "events")
    op.drop_column("events", "transaction")
