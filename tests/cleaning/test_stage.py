"""Records to articles, as an executor does it, without Spark."""

import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest

from cleaning.batches import batch_day, parquet_key
from cleaning.s3source import ARROW_SCHEMA
from cleaning.stage import CLEANED, clean_records
from tests.cleaning.conftest import article_text, page, raw
from yuqing.settings import CleaningSettings
from yuqing.watchlist import WatchedCompany

BATCH = "raw/daily/2024/06/01/01A.jsonl.gz"
SETTINGS = CleaningSettings()  # type: ignore[call-arg]


def cleaned(records: list[Any], companies: list[WatchedCompany] | None = None) -> list[dict[str, Any]]:
    lines = [
        {
            "batch": BATCH,
            "line": number,
            "record": r if isinstance(r, bytes) else json.dumps(r).encode(),
            "problem": None,
        }
        for number, r in enumerate(records, 1)
    ]

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.RecordBatch.from_pylist(lines, schema=ARROW_SCHEMA)

    found = list(clean_records(batches(), companies=companies or [], settings=SETTINGS))
    assert all(batch.schema.equals(CLEANED) for batch in found)
    return [row for batch in found for row in batch.to_pylist()]


def test_a_page() -> None:
    company = WatchedCompany(id=7, name="苹果公司", aliases=("苹果",))
    (row,) = cleaned([raw(1, page("苹果发布新品", article_text(1)))], [company])
    assert row["problem"] is None
    assert (row["title"], row["text"], row["language"]) == ("苹果发布新品", article_text(1), "zh")
    (mention,) = json.loads(row["mentions"])
    assert mention["company_id"] == 7
    assert mention["spans"] == [{"field": "title", "start": 0, "end": 2, "name": "苹果"}]


def test_personal_data_is_hidden_and_counted() -> None:
    text = article_text(1) + "读者张先生的电话是13812345678，客服热线是400-820-8820。"
    (row,) = cleaned([raw(1, page("来信：请加微信号zhangsan99", text))])
    assert row["problem"] is None
    assert row["title"] == "来信：请加微信号zh********"
    assert row["text"].endswith("读者张先生的电话是138****5678，客服热线是400-820-8820。")
    assert row["masked"] == 2


def test_what_a_site_repeats_is_dropped() -> None:
    notice = "东岸新闻网的所有内容均由其合作方依照协议提供，合作方对内容的真实性负责。"
    rows = cleaned([raw(n, page(f"第{n}条消息", f"{article_text(n)}\n{notice}")) for n in range(8)])
    assert [row["text"] for row in rows] == [article_text(n) for n in range(8)]
    (alone,) = cleaned([raw(1, page("第一条消息", f"{article_text(1)}\n{notice}"))])
    assert notice in alone["text"]


def test_a_sites_selector_decides_while_it_finds_something() -> None:
    body = page("标题", article_text(1)).replace(
        "<h1>", f"<div id='text'>{article_text(2).replace(chr(10), '<br>')}</div><h1>"
    )
    (chosen,) = cleaned([raw(1, body, text_selector="#text")])
    assert chosen["text"] == article_text(2)
    (outdated,) = cleaned([raw(1, page("标题", article_text(1)), text_selector="#text")])
    assert outdated["text"] == article_text(1)


def test_a_transcript_keeps_its_times() -> None:
    segments = [
        {"start": 0.0, "end": 2.5, "text": " 各位觀眾晚上好， "},
        {"start": 2.5, "end": 3.0, "text": "\u200b"},
        {"start": 3.0, "end": 6.0, "text": "今天我們來看蘋果公司的財報。"},
    ]
    document = raw(
        1,
        "\n".join(str(segment["text"]) for segment in segments),
        kind="transcript",
        title="晚间新闻",
        segments=segments,
        media=[
            {"url": "https://e.com/a.mp3", "sha256": "a" * 64, "s3_key": "media/aa/a.mp3", "content_type": "audio/mpeg"}
        ],
    )
    (row,) = cleaned([document])
    assert row["problem"] is None
    assert row["text"] == "各位观众晚上好，\n今天我们来看苹果公司的财报。"
    assert [(row["text"][s["start"] : s["end"]], s["start_s"]) for s in row["segments"]] == [
        ("各位观众晚上好，", 0.0),
        ("今天我们来看苹果公司的财报。", 3.0),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"{broken", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "not an object"),
        (raw(1, page("标题", article_text(1)), schema_version=9), "schema_version 9"),
        (raw(1, page("标题", article_text(1)), kind="video"), "field kind"),
        (raw(1, page("标题", article_text(1)), url="https://e.com/\x00"), "NUL"),
        (raw(1, page("标题", article_text(1)), http_status=503), "answered 503"),
        (raw(1, ""), "empty"),
        (raw(1, "<p>短</p>"), "too short"),
        (raw(1, page("号码", "\n".join("01 02 03 04 05 06 07 08 09 10 11 12 13" for _ in range(30)))), "digits"),
        (raw(1, page("重复", "\n".join("加微信领取红包，立即致富。" for _ in range(60)))), "repeats"),
    ],
)
def test_what_cannot_be_used_keeps_its_reason(record: Any, reason: str) -> None:
    bad, good = cleaned([record, raw(2, page("好的", article_text(2)))])
    assert reason in bad["problem"]
    assert bad["doc_id"] is None
    assert bad["record"]
    assert good["problem"] is None


def test_deep_nesting_and_odd_bytes_do_not_stop_a_run() -> None:
    deep = "<div>" * 10_000 + article_text(3) + "</div>" * 10_000
    surrogate = json.dumps(raw(2, page("代理", article_text(4) + "\ud800"))).encode()
    rows = cleaned([raw(1, deep), surrogate, raw(3, page("好的", article_text(5)))])
    assert len(rows) == 3
    assert rows[2]["problem"] is None


def test_keys_come_from_the_batch() -> None:
    assert parquet_key(BATCH) == "clean/dt=2024-06-01/01A.parquet"
    assert batch_day(BATCH).isoformat() == "2024-06-01T00:00:00+00:00"
