"""The JSON-lines commands, as processes: what they answer, in order, and that Spark stays out of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cleaning.conftest import article_text, page


def answer(command: str, lines: list[Any]) -> tuple[int, list[dict[str, Any]]]:
    given = "\n".join(line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines)
    process = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "yuqing", command, "--jsonl", "-"],
        input=given.encode(),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert b"pyspark" not in process.stderr
    return process.returncode, [json.loads(line) for line in process.stdout.splitlines()]


def test_extract(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_bytes(page("另一个标题", article_text(2)).replace("utf-8", "gb2312").encode("gb18030"))
    with_picture = page("苹果发布新品", article_text(1)).replace("<p>", "<p><img src='a.jpg' alt='新品'>", 1)
    status, answers = answer(
        "extract",
        [
            {"id": "a", "html": with_picture, "url": "https://news.example.com/1"},
            {"id": 2, "path": str(file)},
            "{broken",
            {"id": "no page"},
            {"id": "no file", "path": "/no/such/file"},
            {"id": "last", "html": page("最后一条", article_text(3))},
        ],
    )
    assert status == 1
    assert answers[0] == {
        "id": "a",
        "title": "苹果发布新品",
        "text": article_text(1),
        "published_at": "2024-05-31T15:20:00+08:00",
        "author": "李明",
        "source": "每日财经网",
        "language": "zh",
        "images": [{"url": "https://news.example.com/a.jpg", "alt": "新品"}],
    }
    assert (answers[1]["id"], answers[1]["title"], answers[1]["text"]) == (2, "另一个标题", article_text(2))
    assert [bool(row.get("error")) for row in answers] == [False, False, True, True, True, False]
    assert [row["id"] for row in answers[2:]] == [None, "no page", "no file", "last"]


def test_dedup() -> None:
    story = article_text(1, 16)
    status, answers = answer(
        "dedup",
        [
            {"id": "a", "text": story},
            {"id": "b", "text": article_text(2)},
            {"id": "c", "text": "据报道，" + story},
            {"id": "empty", "text": ""},
            {"id": "d", "text": "\n".join(story.split("\n")[:11])},
            {"id": "a", "text": article_text(3)},
            {"id": "e", "text": article_text(2)},
        ],
    )
    assert status == 1
    assert [row.get("group") for row in answers] == ["a", "b", "a", None, "a", "a", "b"]
    assert "error" in answers[3]
