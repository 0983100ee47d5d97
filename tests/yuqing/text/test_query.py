"""The query language: what it means, and what it says of mistakes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yuqing.text.query import DEEPEST, MOST_WORDS, And, Hit, Near, Not, Or, Query, QueryError, Word, parse


def find_in(*fields: str):  # type: ignore[no-untyped-def]
    def find(word: Word) -> list[Hit]:
        pattern = word.pattern or re.compile(re.escape(word.text))
        return [Hit(number, *match.span()) for number, text in enumerate(fields) for match in pattern.finditer(text)]

    return find


def matches(query: str, *fields: str) -> bool:
    return parse(query).match(find_in(*fields)) is not None


A, B, C = Word("a甲"), Word("b乙"), Word("c丙")


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("A甲", A),
        ("（a甲）", A),
        ("“a甲”", A),
        ("a甲 b乙", And((A, B))),
        ("a甲 AND b乙 OR c丙", Or((And((A, B)), C))),
        ("a甲 AND (b乙 OR c丙)", And((A, Or((B, C))))),
        ("a甲 NOT b乙", And((A, Not(B)))),
        ("a甲 AND NOT (b乙 OR c丙)", And((A, Not(Or((B, C)))))),
        ("NOT NOT a甲", A),
        ("a甲 NEAR/5 b乙", Near(A, B, 5)),
        ("a甲 NEAR/5 (b乙 OR c丙)", Near(A, Or((B, C)), 5)),
        ("a甲 b乙 NEAR/5 c丙", And((A, Near(B, C, 5)))),
        ('"AND"', Word("and")),
        ("and", Word("and")),
        ("AT&T", Word("at&t")),
        ("臺積電", Word("台积电")),
    ],
)
def test_what_is_read(text: str, root: object) -> None:
    assert parse(text).root == root


@pytest.mark.parametrize(
    ("text", "position", "says"),
    [
        ("", 0, "empty"),
        ("   ", 0, "empty"),
        ("苹果 AND", 6, "a word is missing after AND; here comes the end"),
        ("AND 苹果", 0, "here comes AND"),
        ("苹果 OR OR 华为", 6, "after OR; here comes OR"),
        ("苹果 AND (手机", 7, "never closed"),
        ("苹果 AND 手机)", 9, "closes nothing"),
        ("()", 1, "here comes a closing parenthesis"),
        ('苹果 "手机', 3, "quotation mark"),
        ('苹果 ""', 3, "no letter"),
        ("苹果 ！", 3, "no letter"),
        ("NOT 苹果", 0, "missing"),
        ("苹果 OR NOT 华为", 0, "missing"),
        ("苹果 NEAR 华为", 3, "NEAR/1"),
        ("苹果 NEAR/0 华为", 3, "NEAR/1"),
        ("苹果 NEAR/9999 华为", 3, "NEAR/500"),
        ("苹果 NEAR/5 (华为 AND 手机)", 3, "NEAR joins words"),
        ("苹果*", 0, "Latin letters and digits"),
        ("6*", 0, "after two"),
        ("??6", 0, "after two"),
        ("(" * 50 + "a甲" + ")" * 50, DEEPEST, "parentheses inside"),
        (" ".join(f"词{n}" for n in range(MOST_WORDS + 5)), 890, "more than 200 words"),
        ("长" * 3000, 2000, "3000 characters"),
    ],
)
def test_mistakes_are_pointed_at(text: str, position: int, says: str) -> None:
    with pytest.raises(QueryError, match=re.escape(says)) as caught:
        parse(text)
    if says != "more than 200 words":
        assert caught.value.position == position
    assert f"character {caught.value.position + 1}" in caught.value.message


def test_what_matches() -> None:
    assert matches("苹果 (手机 OR 库克) NOT 果农", "苹果", "新手机")
    assert not matches("苹果 (手机 OR 库克) NOT 果农", "苹果手机", "果农")
    assert matches("召回 NEAR/3 汽车", "汽车被召回", "")
    assert matches("召回 NEAR/3 汽车", "召回一二三汽车", "")
    assert not matches("召回 NEAR/3 汽车", "召回一二三四汽车", "")
    assert not matches("召回 NEAR/3 汽车", "召回", "汽车")  # title and text are apart
    assert not matches("召回 NEAR/3 召回", "召回", "")
    assert matches("召回 NEAR/3 (汽车 OR 电池) NEAR/2 质量", "电池质量与召回", "")


def test_the_hits_are_those_that_count() -> None:
    query = parse("召回 NEAR/3 汽车 OR 罚款")
    assert query.match(find_in("召回汽车，很远很远很远的汽车", "")) == [Hit(0, 0, 2), Hit(0, 2, 4)]
    assert query.words == (Word("召回"), Word("汽车"), Word("罚款"))
    assert parse("a甲 NOT b乙").words == (A,)
    assert parse("a甲 NOT b乙").all_words() == (A, B)


WORDS = st.sampled_from(["甲甲", "乙乙", "丙丙"]).map(Word)
NODES = st.recursive(
    WORDS,
    lambda parts: st.one_of(
        st.lists(parts, min_size=2, max_size=3).map(lambda some: And(tuple(some))),
        st.lists(parts, min_size=2, max_size=3).map(lambda some: Or(tuple(some))),
        parts.map(Not),
    ),
    max_leaves=8,
)


def truth(node: object, text: str) -> bool:
    match node:
        case Word():
            return node.text in text
        case And():
            return all(truth(part, text) for part in node.parts)
        case Or():
            return any(truth(part, text) for part in node.parts)
        case Not():
            return not truth(node.part, text)
    raise AssertionError(node)


def written(node: object) -> str:
    match node:
        case Word():
            return node.text
        case And():
            return "(" + " AND ".join(map(written, node.parts)) + ")"
        case Or():
            return "(" + " OR ".join(map(written, node.parts)) + ")"
        case Not():
            return "NOT " + written(node.part)
    raise AssertionError(node)


@given(NODES, st.lists(st.sampled_from(["甲甲", "乙乙", "丙丙", "丁"]), max_size=4).map("，".join))
def test_any_query_means_what_logic_says(node: And | Or | Not | Word, text: str) -> None:
    assert (Query(node).match(find_in(text)) is not None) == truth(node, text)
    if node.positive:
        again = parse(written(node))
        assert (again.match(find_in(text)) is not None) == truth(node, text)
        if again.match(find_in(text)) is not None:
            assert any(word.text in text for word in again.words), "a match has one of the words it is looked up by"


@given(st.text(alphabet='甲乙 ANDORTE()（）"“”/5*?.', max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        words, position = parse(text).words, 0
    except QueryError as problem:
        words, position = (A,), problem.position
    assert words
    assert 0 <= position <= len(text)
