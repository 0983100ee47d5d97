"""The full-text index beside a run's merges, on PostgreSQL."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from cleaning.job import clean_pending
from cleaning.text_index import TextIndex
from tests.cleaning.conftest import WriteBatch, article_text, page, raw
from yuqing.settings import Settings

pytestmark = pytest.mark.service


def pages_that_wait(database: Engine) -> int:
    """Pages of terms that were not in the index yet; they are from then on."""
    with database.begin() as connection:
        return int(connection.execute(text("SELECT gin_clean_pending_list('documents_search')")).scalar_one())


def change_terms(database: Engine, term: str) -> None:
    with database.begin() as connection:
        connection.execute(text("UPDATE documents SET search = search || to_tsvector('simple', :term)"), {"term": term})


def test_terms_are_indexed_once_enough_documents_were_merged(
    settings: Settings, database: Engine, write_batch: WriteBatch
) -> None:
    write_batch("01A", [raw(number, page(f"消息{number}", article_text(number))) for number in range(3)])
    clean_pending(settings)
    assert pages_that_wait(database) == 0, "a run leaves nothing"
    with TextIndex(database, every=3) as index:
        change_terms(database, "一一")
        index.merged(2)
    assert pages_that_wait(database) > 0, "too few documents"
    with TextIndex(database, every=3) as index:
        change_terms(database, "二二")
        index.merged(2)
        index.merged(1)
    assert pages_that_wait(database) == 0


def test_where_there_are_many_documents_more_have_to_wait(
    settings: Settings, database: Engine, write_batch: WriteBatch
) -> None:
    write_batch("01A", [raw(number, page(f"消息{number}", article_text(number))) for number in range(30)])
    clean_pending(settings)
    with database.begin() as connection:
        connection.execute(text("ANALYZE documents"))  # from which the number of documents is known
    change_terms(database, "一一")
    with TextIndex(database, every=1) as index:
        index.merged(2)
    assert pages_that_wait(database) > 0, "two are no tenth of 32"
    change_terms(database, "二二")
    with TextIndex(database, every=1) as index:
        index.merged(2)
        index.merged(2)
    assert pages_that_wait(database) == 0


def test_what_indexing_raised_is_raised(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(text("ALTER INDEX documents_search RENAME TO elsewhere"))
    try:
        with pytest.raises(DBAPIError, match="documents_search"), TextIndex(database, every=1) as index:
            index.merged(1)
    finally:
        with database.begin() as connection:
            connection.execute(text("ALTER INDEX elsewhere RENAME TO documents_search"))
