"""Coverage is right after concurrent changes of one document; secrets leave the answers kept for repeated requests."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# What is shown of a verdict is told in 0003. Each statement of a plpgsql function takes a snapshot of its own (READ
# COMMITTED): after the wait for the locks the second one sees what those who held them have committed.
_FUNCTIONS = """
CREATE OR REPLACE FUNCTION cover_verdicts(wanted text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM coverage WHERE doc_id = ANY(wanted) ORDER BY doc_id, company_id FOR UPDATE;
    UPDATE coverage SET sentiment = shown.sentiment, score = shown.score, confidence = shown.confidence,
        risk_level = shown.risk_level, corrected = shown.corrected
    FROM (
        SELECT v.doc_id, v.company_id,
            COALESCE(k.sentiment, v.sentiment) AS sentiment,
            CASE k.sentiment WHEN 'positive' THEN 1 WHEN 'neutral' THEN 0 WHEN 'negative' THEN -1 ELSE v.score
            END AS score,
            CASE WHEN k.id IS NULL THEN v.confidence ELSE 1 END AS confidence,
            COALESCE(k.risk_level, v.risk_level) AS risk_level,
            k.id IS NOT NULL AS corrected
        FROM verdicts v
        LEFT JOIN LATERAL (
            SELECT * FROM corrections c
            WHERE c.doc_id = v.doc_id AND c.company_id = v.company_id AND c.content_hash = v.content_hash
            ORDER BY c.id DESC LIMIT 1
        ) k ON NOT k.withdrawn
        WHERE v.doc_id = ANY(wanted)
    ) shown
    WHERE coverage.doc_id = shown.doc_id AND coverage.company_id = shown.company_id
        AND (coverage.sentiment, coverage.score, coverage.confidence, coverage.risk_level, coverage.corrected)
            IS DISTINCT FROM (shown.sentiment, shown.score, shown.confidence, shown.risk_level, shown.corrected);
END $$;
SELECT cover_verdicts(ARRAY(SELECT DISTINCT doc_id FROM verdicts));

-- Answers that say no-store hold a new API key.
UPDATE idempotent_requests SET body = NULL WHERE headers->>'cache-control' = 'no-store';
"""


def upgrade() -> None:
    # The statements hold $$ and %, which a driver with parameters would read as its own.
    op.get_bind().connection.cursor().execute(_FUNCTIONS)


def downgrade() -> None:
    """Nothing: the function of 0003 with the lock fits that state of the database, too."""
