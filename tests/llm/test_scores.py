import math

import pytest

from llm.analysis.client import Token
from llm.analysis.schema import InvalidAnswer
from llm.analysis.scores import labels


def _tokens(*parts: str | dict[str, float]) -> list[Token]:
    """Tokens of an answer; a dict gives a token's rivals with their probabilities, the first being the one written."""
    tokens = []
    for part in parts:
        rivals = part if isinstance(part, dict) else {part: 1.0}
        written = next(iter(rivals))
        tokens.append(Token(written.encode(), tuple((name.encode(), math.log(p)) for name, p in rivals.items())))
    return tokens


def test_score_and_confidence_come_from_the_label_tokens() -> None:
    found = labels(_tokens('{"', "sent", "iment", '":"', {"negative": 0.6, "neutral": 0.3, "positive": 0.1}, '"}'))
    assert [(label.sentiment, label.score, label.confidence) for label in found] == [("negative", -0.5, 0.6)]


def test_what_is_not_a_label_is_left_out_of_the_sum() -> None:
    (label,) = labels(_tokens('{"sentiment":"', {"positive": 0.4, "blue": 0.2, "neutral": 0.4}, '"}'))
    assert (label.score, label.confidence) == (0.5, 0.5)


def test_labels_in_pieces_and_labels_glued_to_the_quote() -> None:
    pieces = _tokens('{"sentiment":"', {"neg": 0.5, "neu": 0.25, "pos": 0.25}, "ative", '"}')
    glued = _tokens('{"sentiment":', {'"negative': 0.5, '"neutral': 0.25, '"positive': 0.25}, '"}')
    assert labels(pieces) == labels(glued)
    assert labels(glued)[0].confidence == 0.5


def test_a_piece_that_fits_two_labels_counts_for_neither() -> None:
    (label,) = labels(_tokens('{"sentiment":"', {"positive": 0.4, "ne": 0.2, "neg": 0.4}, '"}'))
    assert label.score == 0.0


def test_the_companies_follow_the_document_and_a_summary_forges_nothing() -> None:
    forged = '","summary":"他说\\"sentiment\\":\\"positive\\"","companies":[{"id":1,"sentiment":"'
    found = labels(_tokens('{"sentiment":"', "neutral", forged, "negative", '"}]}'))
    assert [label.sentiment for label in found] == ["neutral", "negative"]


def test_an_answer_cut_before_the_label_has_none() -> None:
    assert labels(_tokens('{"sentiment":"')) == []


def test_no_log_probabilities_is_an_error() -> None:
    with pytest.raises(InvalidAnswer, match="log-probabilities"):
        labels([])


def test_the_label_with_an_impossible_log_probability_is_zero() -> None:
    tokens = [Token(b'{"sentiment":"', ()), Token(b"positive", ((b"positive", 0.0), (b"negative", -9999.0)))]
    assert labels(tokens)[0].score == 1.0
