"""The watchlist's matcher: longest names, exclude words, word borders, spans."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from yuqing.text.matcher import Matcher, relevance
from yuqing.text.normalise import normalise


@dataclass
class Company:
    id: int
    name: str
    aliases: list[str] = field(default_factory=list)
    exclude_words: list[str] = field(default_factory=list)
    query: str | None = None


APPLE = Company(1, "苹果公司", ["苹果", "Apple", "AAPL.O"], ["苹果树", "红苹果", "Apple Pie"])
PINGAN = Company(2, "中国平安", ["平安"])
PINGAN_BANK = Company(3, "平安银行")
TSMC = Company(4, "台積電", ["TSMC"])
MATCHER = Matcher([APPLE, PINGAN, PINGAN_BANK, TSMC])


def found(text: str) -> list[tuple[int, str]]:
    return [(span.company_id, text[span.start : span.end]) for span in MATCHER.spans(text)]


def test_names_and_exclude_words() -> None:
    assert found("苹果发布新品，苹果树开花，红苹果降价") == [(1, "苹果")]
    assert found("吃红苹果的苹果公司员工") == [(1, "苹果公司")]


def test_the_longest_name_counts() -> None:
    assert found("平安银行与中国平安") == [(3, "平安银行"), (2, "中国平安")]
    assert found("一路平安") == [(2, "平安")]


def test_latin_names_stand_alone() -> None:
    assert found("买APPLE手机") == [(1, "APPLE")]
    assert found("Pineapple apples tsmc2 aTSMC") == []
    assert found("an apple pie from (apple), aapl.o") == [(1, "apple"), (1, "aapl.o")]


def test_traditional_names_meet_normalised_texts() -> None:
    assert found(normalise("臺積電擴廠").text) == [(4, "台积电")]


def test_a_name_of_two_companies_is_both() -> None:
    shared = Matcher([Company(1, "长城"), Company(2, "长城", exclude_words=["万里长城"])])
    assert [span.company_id for span in shared.spans("长城涨停")] == [1, 2]
    assert [span.company_id for span in shared.spans("万里长城")] == [1]


def test_empty_watchlists_and_names() -> None:
    assert Matcher([]).spans("苹果") == []
    assert Matcher([Company(1, " ", ["\u200b"], ["苹果"])]).spans("苹果 ") == []


def test_mentions_and_relevance() -> None:
    title, text = "苹果发布新品", "平安提醒。" + "无" * 200 + "苹果股价上涨"
    mentions = MATCHER.mentions(title, text)
    assert [(m.company_id, m.field, m.name) for m in mentions] == [
        (1, "title", "苹果"),
        (2, "text", "平安"),
        (1, "text", "苹果"),
    ]
    for mention in mentions:
        assert (title if mention.field == "title" else text)[mention.start : mention.end] == mention.name
    apple, pingan = relevance(mentions)
    assert (apple.in_title, apple.in_lead, apple.mentions) == (True, False, 2)
    assert (pingan.in_title, pingan.in_lead, pingan.mentions) == (False, True, 1)
    assert 0 < pingan.score < apple.score <= 1


@given(st.text("苹果树公司平安银行中国 aAplePp", max_size=40))
def test_spans_never_overlap_and_are_names(text: str) -> None:
    names = {1: {"苹果公司", "苹果", "apple"}, 2: {"中国平安", "平安"}, 3: {"平安银行"}}
    end = 0
    for span in MATCHER.spans(text):
        assert span.start >= end
        assert text[span.start : span.end].lower() in names[span.company_id]
        end = span.end


def about(query: str, title: str, text: str, name: str = "苹果") -> list[tuple[str, str]]:
    matcher = Matcher([Company(1, name, query=query), Company(2, "华为")])
    assert not matcher.broken
    return [(mention.field, mention.name) for mention in matcher.mentions(title, text) if mention.company_id == 1]


def test_a_query_decides_which_documents_are_about_a_name() -> None:
    query = "苹果 AND (手机 OR 库克) NOT 果农"
    assert about(query, "苹果发布新手机", "苹果股价上涨") == [("title", "苹果"), ("text", "苹果")]
    assert about(query, "苹果丰收", "今年的苹果很甜") == []
    assert about(query, "苹果丰收", "果农用手机卖苹果") == []
    assert about(query, "华为发布手机", "") == []


def test_a_query_finds_what_has_no_name() -> None:
    assert (
        about('"iPhone 18" NEAR/10 降价', "手机", "iPhone  18 开售即降价", "果公司") == []
    )  # not normalised: two spaces
    assert about('"iPhone 18" NEAR/10 降价', "手机", "iPhone 18 开售即降价", "果公司") == [
        ("text", "iPhone 18"),
        ("text", "降价"),
    ]
    assert about("600???.SH OR AAPL*", "AAPL.O涨，600519.SH跌", "代码6005190.SH不是", "果公司") == [
        ("title", "AAPL.O"),
        ("title", "600519.SH"),
    ]


def test_a_broken_query_leaves_the_names() -> None:
    matcher = Matcher([Company(1, "苹果", query="苹果 AND"), Company(2, "华为")])
    assert set(matcher.broken) == {1}
    assert [mention.name for mention in matcher.mentions("苹果与华为", "")] == ["苹果", "华为"]


def test_words_of_queries_hide_no_names() -> None:
    matcher = Matcher([Company(1, "平安"), Company(2, "招行", query="招行 OR 平安银行")])
    assert [(m.company_id, m.name) for m in matcher.mentions("平安银行", "")] == [(1, "平安"), (2, "平安银行")]
