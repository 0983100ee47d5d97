from hypothesis import given
from hypothesis import strategies as st

from llm.analysis.evidence import locate
from yuqing.contracts import TimedSpan

TEXT = "第一句。第二句。第三句。"
SENTENCES = [(0, 4), (4, 8), (8, 12)]


def test_numbers_become_quotes_of_the_text() -> None:
    quotes, grounded = locate([3, 1, 3], SENTENCES, TEXT)
    assert grounded
    assert [(item.quote, item.start, item.end) for item in quotes] == [("第一句。", 0, 4), ("第三句。", 8, 12)]


def test_a_number_that_does_not_exist_is_removed_and_said() -> None:
    quotes, grounded = locate([0, 2, 9], SENTENCES, TEXT)
    assert [item.quote for item in quotes] == ["第二句。"]
    assert not grounded


def test_no_evidence_is_not_grounded() -> None:
    assert locate([], SENTENCES, TEXT) == ((), False)


def test_speech_has_its_second() -> None:
    segments = [TimedSpan(start=0, end=6, start_s=0.5, end_s=4), TimedSpan(start=6, end=12, start_s=4, end_s=9)]
    quotes, _ = locate([1, 3], SENTENCES, TEXT, segments)
    assert [item.start_s for item in quotes] == [0.5, 4]


@given(st.lists(st.integers(-5, 10)))
def test_no_quote_is_ever_invented(numbers: list[int]) -> None:
    quotes, grounded = locate(numbers, SENTENCES, TEXT)
    assert all(TEXT[item.start : item.end] == item.quote for item in quotes)
    assert grounded == (bool(numbers) and all(1 <= number <= 3 for number in numbers))
