"""What is normal, what stands out, and what was changed: the pages' own arithmetic."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.pages import comparison
from gateway.pages.formats import Formats, known_zone
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
