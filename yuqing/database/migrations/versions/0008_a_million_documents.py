"""What keeps lists, trends and searches fast: marks of time in the search index, keywords in coverage, counts by company."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COUNTS = """
    sum(n), COALESCE(sum(n) FILTER (WHERE sentiment = 'positive'), 0), COALESCE(sum(n) FILTER (WHERE sentiment = 'neutral'), 0),
    COALESCE(sum(n) FILTER (WHERE sentiment = 'negative'), 0), COALESCE(sum(n) FILTER (WHERE risk_level = 0), 0),
    COALESCE(sum(n) FILTER (WHERE risk_level = 1), 0), COALESCE(sum(n) FILTER (WHERE risk_level = 2), 0),
    COALESCE(sum(n) FILTER (WHERE risk_level = 3), 0), COALESCE(sum(n) FILTER (WHERE risk_level = 4), 0)
"""
_INTO = """
    INSERT INTO coverage_counts (company_id, documents, positive, neutral, negative, risk_0, risk_1, risk_2, risk_3, risk_4)
    SELECT company_id,
"""

# Each change adds rows with what it changes, so that writers never wait for each other; the gateway folds them together.
_COUNT = f"""
CREATE FUNCTION count_coverage() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        {_INTO} {_COUNTS} FROM (SELECT 1 AS n, * FROM changed) c GROUP BY company_id;
    ELSIF TG_OP = 'DELETE' THEN
        {_INTO} {_COUNTS} FROM (SELECT -1 AS n, * FROM before) c GROUP BY company_id;
    ELSE
        {_INTO} {_COUNTS} FROM (
            SELECT 1 AS n, c.company_id, c.sentiment, c.risk_level FROM changed c JOIN before b USING (doc_id, company_id)
            WHERE (c.sentiment, c.risk_level) IS DISTINCT FROM (b.sentiment, b.risk_level)
            UNION ALL
            SELECT -1, b.company_id, b.sentiment, b.risk_level FROM before b JOIN changed c USING (doc_id, company_id)
            WHERE (c.sentiment, c.risk_level) IS DISTINCT FROM (b.sentiment, b.risk_level)
        ) c GROUP BY company_id;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER coverage_count AFTER INSERT ON coverage
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_coverage();
CREATE TRIGGER coverage_count_again AFTER UPDATE ON coverage
    REFERENCING NEW TABLE AS changed OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION count_coverage();
CREATE TRIGGER coverage_uncount AFTER DELETE ON coverage
    REFERENCING OLD TABLE AS before FOR EACH STATEMENT EXECUTE FUNCTION count_coverage();
{_INTO} {_COUNTS} FROM (SELECT 1 AS n, * FROM coverage) c GROUP BY company_id;
"""

# The functions are those of 0003 with the keywords. An index holds them, and a row of an index at most 2,700 bytes.
_KEYWORDS = """
CREATE FUNCTION covered_keywords(keywords text[]) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ARRAY(SELECT left(word, 32) FROM unnest(keywords[1:8]) WITH ORDINALITY AS k (word, place) ORDER BY place)
$$;

CREATE OR REPLACE FUNCTION cover_mentions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coverage (doc_id, company_id, team_id, time, first_seen, site, source, kind, group_id, relevance, category,
        keywords)
    SELECT m.doc_id, m.company_id, companies.team_id, COALESCE(d.published_at, d.first_seen), d.first_seen, d.site,
        d.source, d.kind, d.group_id, m.relevance, a.category, covered_keywords(a.keywords)
    FROM changed m JOIN companies ON companies.id = m.company_id JOIN documents d ON d.doc_id = m.doc_id
    LEFT JOIN document_analyses a ON a.doc_id = m.doc_id
    ORDER BY m.doc_id, m.company_id
    ON CONFLICT (doc_id, company_id) DO UPDATE SET relevance = EXCLUDED.relevance;
    PERFORM cover_verdicts(ARRAY(SELECT DISTINCT doc_id FROM changed));
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION cover_analyses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE coverage SET category = a.category, keywords = a.words
    FROM (SELECT doc_id, category, covered_keywords(keywords) AS words FROM changed) a
    WHERE coverage.doc_id = a.doc_id
        AND (coverage.category, coverage.keywords) IS DISTINCT FROM (a.category, a.words);
    RETURN NULL;
END $$;

ALTER TABLE coverage DISABLE TRIGGER USER;
UPDATE coverage SET keywords = a.words
FROM (SELECT doc_id, covered_keywords(keywords) AS words FROM document_analyses WHERE keywords <> '{}' OFFSET 0) a
WHERE a.doc_id = coverage.doc_id;
ALTER TABLE coverage ENABLE TRIGGER USER;
"""

# A document's time as lexemes, beside its bigrams: its day and the 8, 64 and 512 days around it, counted from 1970 in UTC.
# No word has an @ in it.
_SEARCH = """
CREATE FUNCTION search_in_time(search tsvector, moment timestamptz) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    day int := floor(date_part('epoch', moment) / 86400);
BEGIN
    RETURN search || array_to_tsvector(ARRAY['@d' || day, '@w' || (day >> 3), '@m' || (day >> 6), '@y' || (day >> 9)]);
END $$;
"""

_COVERAGE_INDEXES = {
    "coverage_by_team": (["team_id", sa.literal_column("time DESC"), "doc_id"], ["company_id", "sentiment", "risk_level", "site"]),
    "coverage_by_company": (
        ["company_id", sa.literal_column("time DESC"), "doc_id"],
        ["team_id", "sentiment", "risk_level", "site", "category", "keywords"],
    ),
    "coverage_by_risk": (
        ["team_id", sa.literal_column("COALESCE(risk_level::int, -1) DESC"), sa.literal_column("time DESC"), "doc_id"],
        None,
    ),
    "coverage_by_group": (["group_id", "team_id"], None),
}


def upgrade() -> None:
    """About a minute for 100,000 documents (extrapolated from 12,000), and twice the size of `coverage` and the search index."""
    run = op.get_bind().connection.cursor().execute  # the statements hold $$ and %, which parameters would claim
    run("SET LOCAL maintenance_work_mem = '512MB'")
    op.add_column(
        "coverage",
        sa.Column("keywords", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
    )
    # Every row is written anew: to build the indexes afterwards is many times as fast as to keep them.
    for name in _COVERAGE_INDEXES:
        op.drop_index(name, "coverage")
    run(_KEYWORDS)
    for name, (columns, include) in _COVERAGE_INDEXES.items():
        op.create_index(name, "coverage", columns, unique=False, postgresql_include=include)
    op.create_table(
        "coverage_counts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        *(
            sa.Column(name, sa.Integer(), nullable=False)
            for name in ("company_id", "documents", "positive", "neutral", "negative", *(f"risk_{n}" for n in range(5)))
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("coverage_counts_by_company", "coverage_counts", ["company_id"], unique=False)
    run(_COUNT)
    op.drop_index("documents_search", "documents")
    run(_SEARCH)
    op.create_index(
        "documents_search",
        "documents",
        [sa.literal_column("search_in_time(search, COALESCE(published_at, first_seen))")],
        unique=False,
        postgresql_using="gin",
    )
    run("ANALYZE coverage")
    run("ANALYZE documents")


def downgrade() -> None:
    raise NotImplementedError("the indexes of 0006 are not built again: restore a backup instead")
