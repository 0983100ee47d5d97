"""The quality of extraction on sample pages, against floors that may be raised and not lowered without saying so.

The pages are written for these tests in the manner of Chinese sites; what is wanted stands beside each of them.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.extraction import f1
from cleaning.cli import extract_line

HERE = Path(__file__).parent
FLOORS = json.loads((HERE / "floors.json").read_text())
PAGES = sorted(path.stem for path in (HERE / "pages").glob("*.html"))


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    wanted = {name: json.loads((HERE / "pages" / f"{name}.json").read_text(encoding="utf-8")) for name in PAGES}
    return {
        name: (
            extract_line({"path": str(HERE / "pages" / f"{name}.html"), "fetched_at": answer.get("fetched_at")}),
            answer,
        )
        for name, answer in wanted.items()
    }


def test_there_are_pages_of_many_kinds() -> None:
    assert len(PAGES) >= FLOORS["pages"]


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
