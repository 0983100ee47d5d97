"""Coverage (what lists and trends sort and filter by), kept by triggers; corrections that outlive what they correct."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# What is shown of a verdict: the last correction of the version that was judged, or else what the model said.
_SHOWN = """
    FROM verdicts v
    LEFT JOIN LATERAL (
        SELECT * FROM corrections c
        WHERE c.doc_id = v.doc_id AND c.company_id = v.company_id AND c.content_hash = v.content_hash
        ORDER BY c.id DESC LIMIT 1
    ) k ON NOT k.withdrawn
"""
_SHOWN_COLUMNS = """
    COALESCE(k.sentiment, v.sentiment) AS sentiment,
    CASE k.sentiment WHEN 'positive' THEN 1 WHEN 'neutral' THEN 0 WHEN 'negative' THEN -1 ELSE v.score END AS score,
    CASE WHEN k.id IS NULL THEN v.confidence ELSE 1 END AS confidence,
    COALESCE(k.risk_level, v.risk_level) AS risk_level,
    k.id IS NOT NULL AS corrected
"""

# Each trigger writes the columns of its own table alone: two transactions that change different tables of one document
# would otherwise each write back what it saw of the other's before. Those of one table meet in that table's rows.
_FUNCTIONS = f"""
CREATE FUNCTION cover_verdicts(wanted text[]) RETURNS void LANGUAGE sql AS $$
    UPDATE coverage SET sentiment = shown.sentiment, score = shown.score, confidence = shown.confidence,
        risk_level = shown.risk_level, corrected = shown.corrected
    FROM (SELECT v.doc_id, v.company_id, {_SHOWN_COLUMNS} {_SHOWN} WHERE v.doc_id = ANY(wanted)) shown
    WHERE coverage.doc_id = shown.doc_id AND coverage.company_id = shown.company_id
$$;

CREATE FUNCTION cover_mentions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coverage (doc_id, company_id, team_id, time, first_seen, site, source, kind, group_id, relevance, category)
    SELECT m.doc_id, m.company_id, companies.team_id, COALESCE(d.published_at, d.first_seen), d.first_seen, d.site,
        d.source, d.kind, d.group_id, m.relevance, a.category
    FROM changed m JOIN companies ON companies.id = m.company_id JOIN documents d ON d.doc_id = m.doc_id
    LEFT JOIN document_analyses a ON a.doc_id = m.doc_id
    ORDER BY m.doc_id, m.company_id
    ON CONFLICT (doc_id, company_id) DO UPDATE SET relevance = EXCLUDED.relevance;
    PERFORM cover_verdicts(ARRAY(SELECT DISTINCT doc_id FROM changed));
    RETURN NULL;
END $$;

CREATE FUNCTION cover_documents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE coverage SET time = d.time, first_seen = d.first_seen, site = d.site, source = d.source, kind = d.kind,
        group_id = d.group_id
    FROM (
        SELECT doc_id, COALESCE(published_at, first_seen) AS time, first_seen, site, source, kind, group_id FROM changed
        EXCEPT
        SELECT doc_id, COALESCE(published_at, first_seen), first_seen, site, source, kind, group_id FROM before
    ) d
    WHERE coverage.doc_id = d.doc_id;
    RETURN NULL;
END $$;

CREATE FUNCTION cover_analyses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE coverage SET category = a.category FROM changed a
    WHERE coverage.doc_id = a.doc_id AND coverage.category IS DISTINCT FROM a.category;
    RETURN NULL;
END $$;

CREATE FUNCTION cover_changed_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM cover_verdicts(ARRAY(SELECT DISTINCT doc_id FROM changed));
    RETURN NULL;
END $$;

CREATE FUNCTION cover_forgotten_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE coverage SET sentiment = NULL, score = NULL, confidence = NULL, risk_level = NULL, corrected = false
    FROM changed v WHERE coverage.doc_id = v.doc_id AND coverage.company_id = v.company_id;
    RETURN NULL;
END $$;

CREATE TRIGGER mentions_cover AFTER INSERT ON mentions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cover_mentions();
CREATE TRIGGER mentions_cover_again AFTER UPDATE ON mentions
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cover_mentions();
CREATE TRIGGER documents_cover_again AFTER UPDATE ON documents
    REFERENCING NEW TABLE AS changed OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION cover_documents();
CREATE TRIGGER analyses_cover AFTER INSERT ON document_analyses
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cover_analyses();
CREATE TRIGGER analyses_cover_again AFTER UPDATE ON document_analyses
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cover_analyses();
CREATE TRIGGER verdicts_cover AFTER INSERT ON verdicts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cover_changed_verdicts();
CREATE TRIGGER verdicts_cover_again AFTER UPDATE ON verdicts
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cover_changed_verdicts();
CREATE TRIGGER verdicts_uncover AFTER DELETE ON verdicts
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cover_forgotten_verdicts();
CREATE TRIGGER corrections_cover AFTER INSERT ON corrections
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION cover_changed_verdicts();

INSERT INTO coverage (doc_id, company_id, team_id, time, first_seen, site, source, kind, group_id, relevance, category)
SELECT m.doc_id, m.company_id, companies.team_id, COALESCE(d.published_at, d.first_seen), d.first_seen, d.site,
    d.source, d.kind, d.group_id, m.relevance, a.category
FROM mentions m JOIN companies ON companies.id = m.company_id JOIN documents d ON d.doc_id = m.doc_id
LEFT JOIN document_analyses a ON a.doc_id = m.doc_id;
SELECT cover_verdicts(ARRAY(SELECT DISTINCT doc_id FROM verdicts));
"""


def upgrade() -> None:
    op.drop_table("corrections")  # no release wrote one
    op.create_table(
        "corrections",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("doc_id", sa.String(length=32), nullable=False),
        sa.Column("company_id", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=32), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("sentiment", sa.String(length=8), nullable=False),
        sa.Column("risk_level", sa.SmallInteger(), nullable=False),
        sa.Column("risk_types", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("evidence", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("replaced", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("sentiment IN ('positive', 'neutral', 'negative')", name="sentiment"),
        sa.CheckConstraint("risk_level BETWEEN 0 AND 4", name="risk_level"),
        sa.ForeignKeyConstraint(["company_id"], ["companies.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["doc_id"], ["documents.doc_id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["team_id"], ["teams.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("doc_id", "company_id", "version"),
    )
    op.create_index("corrections_by_team", "corrections", ["team_id", "id"], unique=False)
    op.create_table(
        "coverage",
        sa.Column("doc_id", sa.String(length=32), nullable=False),
        sa.Column("company_id", sa.Integer(), nullable=False),
        sa.Column("team_id", sa.Integer(), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("group_id", sa.String(length=32), nullable=False),
        sa.Column("relevance", sa.Float(), nullable=False),
        sa.Column("category", sa.Text(), nullable=True),
        sa.Column("sentiment", sa.String(length=8), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("risk_level", sa.SmallInteger(), nullable=True),
        sa.Column("corrected", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["doc_id", "company_id"], ["mentions.doc_id", "mentions.company_id"], ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("doc_id", "company_id"),
    )
    op.create_index(
        "coverage_by_team",
        "coverage",
        ["team_id", sa.literal_column("time DESC"), "doc_id"],
        unique=False,
        postgresql_include=["company_id", "sentiment", "risk_level", "site"],
    )
    op.create_index(
        "coverage_by_company",
        "coverage",
        ["company_id", sa.literal_column("time DESC"), "doc_id"],
        unique=False,
        postgresql_include=["team_id", "sentiment", "risk_level", "site"],
    )
    op.create_index(
        "coverage_by_risk",
        "coverage",
        [
            "team_id",
            sa.literal_column("COALESCE(risk_level::int, -1) DESC"),
            sa.literal_column("time DESC"),
            "doc_id",
        ],
        unique=False,
    )
    op.create_index("coverage_by_group", "coverage", ["group_id", "team_id"], unique=False)
    # The statements hold $$ and %, which a driver with parameters would read as its own.
    op.get_bind().connection.cursor().execute(_FUNCTIONS)


def downgrade() -> None:
    raise NotImplementedError("corrections are not taken away: restore a backup instead")
