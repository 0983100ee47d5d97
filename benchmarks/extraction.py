"""Main text, dates and authors on labelled pages: those of the tests, or a folder from outside.

    python benchmarks/extraction.py [DATA]

DATA holds pages/ID.html (bytes as served), text/ID.txt, date/ID.txt and author/ID.txt; a date or an author that is UNKNOWN or
not a whole date is not counted, several authors are parted by spaces or commas, and one of them is enough.

Prints one JSON line: {pages, f1, lowest_f1, below_half, dates, dates_right, authors, authors_right, pages_per_cpu_s, worst}.
f1 is that of runs of four tokens (a Chinese character is a token), averaged over the pages.
"""

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleaning.cli import extract_line

SAMPLES = Path(__file__).parents[1] / "tests" / "cleaning" / "pages"
SHINGLE = 4
WORST = 5

_TOKEN = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
_DAY = re.compile(r"(\d{4})\D+?(\d{1,2})\D+?(\d{1,2})")


@dataclass(frozen=True)
class Labelled:
    """A page and what is wanted of it; None and () where nothing is labelled."""

    path: Path
    text: str
    day: tuple[int, ...] | None
    authors: tuple[str, ...]
    fetched_at: str | None = None


def f1(found: str, wanted: str) -> float:
    """F1 of the runs of four tokens of two texts, in [0, 1]."""

    def shingles(text: str) -> Counter[tuple[str, ...]]:
        tokens = _TOKEN.findall(text.lower())
        return Counter(tuple(tokens[i : i + SHINGLE]) for i in range(max(1, len(tokens) - SHINGLE + 1)))

    one, other = shingles(found), shingles(wanted)
    return 2 * sum((one & other).values()) / (sum(one.values()) + sum(other.values()))


def day(text: str | None) -> tuple[int, ...] | None:
    """Year, month and day of the first date in a text."""
    match = _DAY.search(text or "")
    return tuple(map(int, match.groups())) if match else None


def names(text: str | None) -> tuple[str, ...]:
    """The names in a label."""
    return tuple(name for name in re.split(r"[\s,，、;；]+", text or "") if name and name != "UNKNOWN")


def samples() -> Iterator[Labelled]:
    """The pages of the tests."""
    for path in sorted(SAMPLES.glob("*.html")):
        label = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        yield Labelled(path, label["text"], day(label["published_at"]), names(label["author"]), label.get("fetched_at"))


def folder(data: Path) -> Iterator[Labelled]:
    """The pages of a folder from outside."""

    def label(kind: str, name: str) -> str:
        path = data / kind / f"{name}.txt"
        return path.read_text(encoding="utf-8", errors="replace").strip() if path.exists() else ""

    for path in sorted((data / "pages").glob("*.html")):
        yield Labelled(path, label("text", path.stem), day(label("date", path.stem)), names(label("author", path.stem)))


def evaluate(pages: list[Labelled]) -> dict[str, Any]:
    """The figures, over all pages."""
    scores: dict[str, float] = {}
    dates, authors = [0, 0], [0, 0]
    spent = 0.0
    for page in pages:
        begin = time.process_time()
        found = extract_line({"path": str(page.path), "fetched_at": page.fetched_at})
        spent += time.process_time() - begin
        scores[page.path.stem] = f1(found["text"], page.text)
        if page.day:
            dates[0] += 1
            dates[1] += day(found["published_at"]) == page.day
        if page.authors:
            authors[0] += 1
            authors[1] += any(name in (found["author"] or "") for name in page.authors)
    return {
        "pages": len(scores),
        "f1": round(sum(scores.values()) / len(scores), 4),
        "lowest_f1": round(min(scores.values()), 4),
        "below_half": sum(score < 0.5 for score in scores.values()),
        "dates": dates[0],
        "dates_right": dates[1],
        "authors": authors[0],
        "authors_right": authors[1],
        "pages_per_cpu_s": round(len(scores) / spent, 1),
        "worst": {name: round(scores[name], 3) for name in sorted(scores, key=lambda name: scores[name])[:WORST]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, help="the folder; default: the pages of the tests")
    data = parser.parse_args().data
    pages = list(folder(data) if data else samples())
    if not pages:
        parser.error(f"{data}/pages holds no .html files; the docstring above says how the folder looks")
    extract_line({"path": str(pages[0].path)})  # what is imported on first use is no page's
    print(json.dumps(evaluate(pages), ensure_ascii=False))


if __name__ == "__main__":
    main()
