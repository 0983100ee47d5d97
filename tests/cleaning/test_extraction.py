"""The quality of extraction on sample pages, against floors that may be raised and not lowered without saying so.

The pages are written for these tests in the manner of Chinese sites; what is wanted stands beside each of them.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cleaning.cli import extract_line

HERE = Path(__file__).parent
FLOORS = json.loads((HERE / "floors.json").read_text())
PAGES = sorted(path.stem for path in (HERE / "pages").glob("*.html"))
# A character of Chinese is a token, a run of other letters and digits too; texts are compared by runs of four.
TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
SHINGLE = 4


def f1(found: str, wanted: str) -> float:
    def shingles(text: str) -> Counter[tuple[str, ...]]:
        tokens = TOKEN.findall(text)
        return Counter(tuple(tokens[i : i + SHINGLE]) for i in range(max(1, len(tokens) - SHINGLE + 1)))

    one, other = shingles(found), shingles(wanted)
    return 2 * sum((one & other).values()) / (sum(one.values()) + sum(other.values()))


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    return {
        name: (
            extract_line({"path": str(HERE / "pages" / f"{name}.html")}),
            json.loads((HERE / "pages" / f"{name}.json").read_text(encoding="utf-8")),
        )
        for name in PAGES
    }


def test_main_text(answers: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> None:
    scores = {name: f1(found["text"], wanted["text"]) for name, (found, wanted) in answers.items()}
    assert sum(scores.values()) / len(scores) >= FLOORS["mean_f1"], scores
    assert min(scores.values()) >= FLOORS["lowest_f1"], scores


@pytest.mark.parametrize(
    ("field", "floor"),
    [("title", "titles"), ("published_at", "dates"), ("author", "authors"), ("source", "sources")],
)
def test_metadata(answers: dict[str, tuple[dict[str, Any], dict[str, Any]]], field: str, floor: str) -> None:
    wrong = {name: (f[field], w[field]) for name, (f, w) in answers.items() if f[field] != w[field]}
    assert len(answers) - len(wrong) >= FLOORS[floor], wrong


def test_nothing_of_the_site_is_left(answers: dict[str, tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for found, _ in answers.values():
        for words in ("责任编辑", "免责声明", "扫一扫", "长按识别", "网友评论", "关闭窗口", "版权所有", "当前位置"):
            assert words not in found["text"]
