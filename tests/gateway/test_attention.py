"""What is normal, what stands out, and what was changed: the pages' own arithmetic."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from difflib import SequenceMatcher
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some
from starlette.requests import Request

from gateway.pages import comparison
from gateway.pages.formats import Formats, known_zone
from gateway.pages.search import filters_on, page_filter
from gateway.pages.strings import translate
from gateway.queries.attention import Day, is_unusual, normal_of, ordered, standing


def test_normal_is_the_mean_of_the_weeks_before() -> None:
    days = {ago: Day(documents=4) for ago in range(60)}
    assert normal_of(days, 1) == 4
    assert normal_of(days, 7) == 28
    # The period itself does not count, nor what lies before the four weeks.
    assert normal_of({**days, 0: Day(documents=1000), 40: Day(documents=1000)}, 1) == 4
    # Quiet days do.
    assert normal_of({28: Day(documents=28)}, 1) == 1
    assert normal_of({6: Day(documents=9)}, 1) is None
    assert normal_of({}, 7) is None


def test_unusual_is_beyond_three_deviations_and_more_than_a_handful() -> None:
    assert not is_unusual(40, None)
    assert not is_unusual(4, 0.0)
    assert is_unusual(5, 0.1)
    assert not is_unusual(43, 28.0)
    assert is_unusual(45, 28.0)  # 28 + 3 * 5.29 = 43.9


def test_what_needs_attention_comes_first() -> None:
    loud = standing((1, "响", True), {0: Day(9, 9, 0, 0, 0)}, 7, None)
    risky = standing((2, "险", True), {3: Day(1, 0, 0, 1, 4)}, 7, None)
    quiet = standing((3, "静", True), {9: Day(5, 0, 0, 5, 4)}, 7, None)
    rows = [quiet, loud, risky]
    assert [row.name for row in ordered(rows, "attention")] == ["险", "响", "静"]
    assert [row.name for row in ordered(rows, "volume")] == ["响", "险", "静"]
    assert (quiet.documents, quiet.highest_risk, len(quiet.history)) == (0, 0, 30)
    assert quiet.history[-10].documents == 5


TEXTS = some.text(alphabet=some.sampled_from("甲乙丙，。！\n a1"), max_size=80)


@given(TEXTS, TEXTS)
def test_a_comparison_holds_both_texts(before: str, after: str) -> None:
    pieces = comparison.compare(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after
    assert all(piece.text for piece in pieces)


def test_a_changed_word_is_told_alone() -> None:
    pieces = comparison.compare("公司召回了一万辆轿车。其余不变。", "公司召回了两万辆轿车。其余不变。")
    assert [(piece.kind, piece.text) for piece in pieces if piece.kind != "same"] == [
        ("removed", "一"),
        ("added", "两"),
    ]


def test_what_a_comparison_costs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []  # of each matcher the elements, and the pairs of equal ones

    class Watched(SequenceMatcher):  # type: ignore[type-arg]
        def __init__(self, junk: None, a: Sequence[str], b: Sequence[str], autojunk: bool) -> None:
            counts = Counter(b)
            compared.append((max(len(a), len(b)), sum(counts[each] for each in a)))
            super().__init__(junk, a, b, autojunk)

    monkeypatch.setattr(comparison, "SequenceMatcher", Watched)
    digits = Random(1)
    table, changed = (" ".join(str(digits.randrange(10**6)) for _ in range(800)) for _ in range(2))
    for before, after in (
        (table, changed),
        (table[:900], table[:400] + "1" + table[400:900]),
        ("甲。" * 500, "甲。" * 400 + "乙。" + "甲。" * 99),
        ("".join(f"{number}。" for number in range(2500)), "".join(f"{number}。" for number in range(9, 2500))),
        ("甲" * 3000, "甲" * 2999 + "乙"),
    ):
        compared.clear()
        pieces = comparison.compare(before, after)
        assert "".join(piece.text for piece in pieces if piece.kind != "added") == before
        assert "".join(piece.text for piece in pieces if piece.kind != "removed") == after
        assert all(length <= comparison.SENTENCES and pairs <= comparison.EQUAL_PAIRS for length, pairs in compared)
        assert sum(pairs for _, pairs in compared) <= comparison.LETTER_PAIRS
    assert [piece for piece in pieces if piece.kind != "same"][-1].text == "乙"


def test_numbers_and_times_are_those_of_the_reader() -> None:
    chinese, english = (Formats(language, ZoneInfo("Asia/Shanghai")) for language in ("zh", "en"))
    assert [chinese.compact(value) for value in (999, 9870, 12_860, 240_000_000)] == ["999", "9,870", "1.3万", "2.4亿"]
    assert [english.compact(value) for value in (12_860, 2_400_000)] == ["12.9K", "2.4M"]
    assert [english.percent(share) for share in (0, 0.004, 0.5, 1)] == ["0%", "<1%", "50%", "100%"]
    late = datetime(2020, 1, 1, 17, 30, tzinfo=UTC)
    assert chinese.when(late) == "2020年1月2日 01:30"
    assert english.when(late) == "2 Jan 2020 01:30"
    assert chinese.when(datetime.now(UTC) - timedelta(days=1)).startswith("昨天")
    assert translate("en", "documents.reprints", count=1) == "1 reprint"
    assert translate("en", "documents.reprints", count=2000) == "2,000 reprints"


@pytest.mark.parametrize(
    "name", ["", "UTC+8", "localtime", "posix/UTC", "../etc/passwd", "Asia/../UTC", "Asia/Nowhere"]
)
def test_zones_that_are_none(name: str) -> None:
    assert known_zone(name) is None


def test_dates_count_more_than_the_days_that_the_form_sends_with_them() -> None:
    query = b"q=&days=7&from=2026-01-01&to=2026-01-05&risk=9&risk=2"
    request = Request(
        {
            "type": "http",
            "query_string": query,
            "headers": [(b"cookie", b"yuqing_zone=Asia/Shanghai")],
            "path": "/search",
        }
    )
    zone, first, last = ZoneInfo("Asia/Shanghai"), date(2026, 1, 1), date(2026, 1, 5)
    begin, end = datetime(2026, 1, 1, tzinfo=zone), datetime(2026, 1, 6, tzinfo=zone)
    both = page_filter(request, days=7, first=first, last=last)
    assert (both.since, both.until) == (begin, end)
    until = page_filter(request, days=7, last=last)
    assert (until.since, until.until) == (None, end)
    assert page_filter(request, first=first).since == begin
    # The latest days are open to what comes while one reads.
    latest = page_filter(request, days=7)
    assert latest.since is not None
    assert latest.until is None
    assert filters_on(request) == [("risk", "2"), ("from", "2026-01-01"), ("to", "2026-01-05")]
