import json

import jsonschema
import pytest

from llm.analysis.schema import (
    Answer,
    CompanyAnswer,
    InvalidAnswer,
    answer_schema,
    read_answer,
    sentiment_schema,
    write_answer,
)


def _answer(companies: int = 1, **changes: object) -> Answer:
    fields: dict[str, object] = {
        "sentiment": "negative",
        "category": "新闻报道",
        "summary": "滴滴下线顺风车",
        "keywords": ["滴滴", "顺风车"],
        "companies": [
            CompanyAnswer(id=number, sentiment="negative", risk=2, types=["舆论危机"], evidence=[1])
            for number in range(1, companies + 1)
        ],
    }
    return Answer.model_validate(fields | changes)


def test_what_training_writes_keeps_the_schema_and_is_read_back() -> None:
    written = write_answer(_answer(2))
    jsonschema.validate(json.loads(written), answer_schema([True, True], 4))
    assert read_answer(written, ["甲", "乙"]) == _answer(2)


def test_the_sentiment_is_written_first_and_without_white_space() -> None:
    assert write_answer(_answer()).startswith('{"sentiment":"negative","category":"')


@pytest.mark.parametrize(
    ("named", "sentences", "change"),
    [
        ([True], 4, {"evidence": [5]}),
        ([True], 4, {"evidence": []}),
        ([False], 4, {"evidence": [1]}),
        ([True], 4, {"risk": 5}),
        ([True], 4, {"id": 2}),
        ([True], 4, {"types": ["天气"]}),
    ],
)
def test_the_schema_refuses(named: list[bool], sentences: int, change: dict[str, object]) -> None:
    answer = json.loads(write_answer(_answer()))
    answer["companies"][0] |= change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer, answer_schema(named, sentences))


def test_the_shorter_form_is_shorter() -> None:
    answer = json.loads(write_answer(_answer(summary="长" * 60)))
    jsonschema.validate(answer, answer_schema([True], 4))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer, answer_schema([True], 4, short=True))


def test_the_sentiment_alone() -> None:
    jsonschema.validate({"sentiment": "neutral"}, sentiment_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"sentiment": "glad"}, sentiment_schema())


@pytest.mark.parametrize("text", ["", "好的", '{"sentiment":"negative","cat', "[]", '{"sentiment":"negative"}'])
def test_a_broken_answer_is_refused(text: str) -> None:
    with pytest.raises(InvalidAnswer):
        read_answer(text, ["甲"])


def test_an_answer_about_other_companies_is_refused() -> None:
    with pytest.raises(InvalidAnswer, match="companies"):
        read_answer(write_answer(_answer(2)), ["甲"])
