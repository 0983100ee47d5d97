"""Search terms: every phrase that a text holds is found."""

from hypothesis import given
from hypothesis import strategies as st

from yuqing.text.bigrams import MAXIMUM_WORD, bigrams, query_bigrams, tsquery


def test_runs_and_words() -> None:
    assert bigrams("贵州茅台，iPhone 15发布。茅台") == ["贵州", "州茅", "茅台", "台", "iphone", "15", "发布", "布"]
    assert bigrams("…！ \n") == []


def test_long_words_are_cut_alike_on_both_sides() -> None:
    word = "A" * 500
    assert bigrams(word) == query_bigrams(word) == ["a" * MAXIMUM_WORD]


def test_queries() -> None:
    assert query_bigrams("臺積電 ＴＳＭＣ") == ["台积", "积电", "tsmc"]
    assert tsquery("酒") == "'酒':*"
    assert tsquery("茅台'; DROP 5G") == "'茅台' & 'drop' & '5g'"
    assert tsquery("！？") == ""


@given(st.text("茅台酒股份公司，。", min_size=1, max_size=30), st.data())
def test_every_phrase_of_a_text_is_found(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    phrase = text[start : data.draw(st.integers(start + 1, len(text)))]
    terms = bigrams(text)
    for term in query_bigrams(phrase):
        assert any(known.startswith(term) for known in terms) if len(term) == 1 else term in terms
