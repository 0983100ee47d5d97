import pytest
from hypothesis import given
from hypothesis import strategies as st

from yuqing.text.sentences import clause_spans, sentence_spans

_TEXTS = st.text(alphabet=st.sampled_from("甲乙丙a1.5 。！？…”」\n\r\u3000，；、?!\"'"), max_size=200) | st.text(
    max_size=100
)


def _sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


def test_punctuation_and_what_closes_with_it_ends_a_sentence() -> None:
    assert _sentences("他说：“好。”我走了！真的？是……嗯") == ["他说：“好。”", "我走了！", "真的？", "是……", "嗯"]


def test_a_line_ends_a_sentence_and_white_space_belongs_to_none() -> None:
    assert _sentences("  标题\n\n　　第一段。 第二句 \n") == ["标题", "第一段。", "第二句"]


def test_a_dot_inside_a_number_or_a_name_ends_nothing() -> None:
    assert _sentences("增长3.5%，见yuqing.com。It rose. Then it fell.") == [
        "增长3.5%，见yuqing.com。",
        "It rose.",
        "Then it fell.",
    ]


def test_punctuation_alone_belongs_to_the_sentence_before() -> None:
    assert _sentences("完了。\n……\n再来") == ["完了。\n……", "再来"]


def test_an_empty_text_has_no_sentences() -> None:
    assert sentence_spans("") == sentence_spans(" \n ") == []


def test_a_long_sentence_is_cut_after_a_clause() -> None:
    text = "一二三四，五六七八，九十。"
    assert [text[start:end] for start, end in clause_spans(text, 10)] == ["一二三四，五六七八，", "九十。"]


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="limit"):
        clause_spans("一", 0)


def _check_cover(text: str, spans: list[tuple[int, int]]) -> None:
    end_before = 0
    for start, end in spans:
        assert end_before <= start < end <= len(text)
        assert not text[start].isspace()
        assert not text[end - 1].isspace()
        end_before = end
    covered = {index for start, end in spans for index in range(start, end)}
    assert all(index in covered for index, character in enumerate(text) if not character.isspace())


@given(_TEXTS)
def test_sentences_hold_every_character_once_and_in_order(text: str) -> None:
    _check_cover(text, sentence_spans(text))


@given(_TEXTS, st.integers(1, 40))
def test_clauses_hold_every_character_and_keep_the_limit(text: str, limit: int) -> None:
    spans = clause_spans(text, limit)
    _check_cover(text, spans)
    assert all(end - start <= limit for start, end in spans)
