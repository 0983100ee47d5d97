"""Raw batches of pages for the tests, and one Spark session for all of them."""

import gzip
import json
import random
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from yuqing.objects import ObjectStore
from yuqing.settings import Settings

FETCHED = datetime(2024, 6, 1, 8, 0, tzinfo=UTC)


def article_text(seed: int, sentences: int = 12) -> str:
    """A text of its own for each seed: sentences of random simplified characters, one a line."""
    generator = random.Random(seed)

    def phrase() -> str:
        # The first 35 rows of GB 2312's level one: 3,290 of the commonest characters.
        pairs = [
            (generator.randrange(0xB0, 0xD3), generator.randrange(0xA1, 0xFF))
            for _ in range(generator.randrange(6, 16))
        ]
        return b"".join(map(bytes, pairs)).decode("gb2312")

    return "\n".join(f"{phrase()}，{phrase()}，{phrase()}。" for _ in range(sentences))


def page(title: str, body: str, *, site: str = "每日财经网") -> str:
    """An article page in the manner of Chinese news sites."""
    lines = "".join(f"<p>　　{line}</p>" for line in body.split("\n"))
    return (
        f"<html><head><meta charset='utf-8'><title>{title}_财经_{site}</title></head><body>"
        "<div class='nav'><a href='/'>首页</a> <a href='/stock'>股票</a> <a href='/fund'>基金</a></div>"
        f"<h1>{title}</h1><div class='info'>2024年05月31日 15:20 来源：{site} 作者：李明</div>"
        f"<div class='article'>{lines}<p>（责任编辑：王芳）</p></div>"
        "<div class='related'><h3>相关阅读</h3><ul><li><a href='/1'>别的新闻</a></li></ul></div>"
        "<div class='footer'>Copyright © 2010-2024 版权所有</div></body></html>"
    )


def raw(number: int, body: str, **fields: Any) -> dict[str, Any]:
    """A raw document as the crawler writes it."""
    url = f"https://news.example.com/{number}.html"
    return {
        "schema_version": 2,
        "url": url,
        "canonical_url": url,
        "site": "daily",
        "spider": "site",
        "kind": "page",
        "fetched_at": (FETCHED + timedelta(seconds=number)).isoformat(),
        "http_status": 200,
        "content_type": "text/html; charset=utf-8",
        "encoding": "utf-8",
        "body": body,
        "run_id": "01HZTEST",
        **fields,
    }


WriteBatch = Callable[..., str]


@pytest.fixture
def write_batch(store: ObjectStore) -> WriteBatch:
    """Write records (objects, or bytes of a line) as batch `name` of 1 June 2024; returns its key."""

    def write(name: str, records: list[Any], *, data: bytes | None = None) -> str:
        store.ensure_bucket()
        lines = b"".join(
            (record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False).encode()) + b"\n"
            for record in records
        )
        key = f"raw/daily/2024/06/01/{name}.jsonl.gz"
        store.put(key, gzip.compress(lines) if data is None else data)
        return key

    return write


@pytest.fixture
def company(database: Engine) -> Callable[..., int]:
    """Put a company on the watchlist; returns its id."""

    def add(name: str, aliases: list[str] | None = None, exclude_words: list[str] | None = None) -> int:
        with database.begin() as connection:
            team = connection.execute(
                text(
                    "INSERT INTO teams (name) VALUES ('tests') "
                    "ON CONFLICT (name) DO UPDATE SET name = EXCLUDED.name RETURNING id"
                )
            ).scalar_one()
            return int(
                connection.execute(
                    text(
                        "INSERT INTO companies (team_id, name, aliases, exclude_words) "
                        "VALUES (:team, :name, :aliases, :words) RETURNING id"
                    ),
                    {"team": team, "name": name, "aliases": aliases or [], "words": exclude_words or []},
                ).scalar_one()
            )

    return add


@pytest.fixture
def on_spark(settings: Settings) -> Settings:
    """Settings with which every round runs on Spark, however small."""
    return settings.model_copy(update={"cleaning": settings.cleaning.model_copy(update={"spark_from_bytes": 0})})


@pytest.fixture(scope="session", autouse=True)
def _stop_spark() -> Iterator[None]:
    yield
    if "pyspark" in sys.modules:
        from cleaning.spark import end_session

        end_session()
