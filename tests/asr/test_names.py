"""Names that were heard as other characters of the same sound, and all that must stay as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.names import Names, distance
from yuqing.contracts import Segment, Word

WATCHED = ("青禾乳业", "长岭重工", "招商银行", "恒岳地产", "星澜生物", "京东", "腾讯", "比亚迪", "平安银行", "BYD")


def spoken(text: str, probability: float) -> Segment:
    words = tuple(Word(start=i, end=i + 1, text=text[i], probability=probability) for i in range(len(text)))
    return Segment(start=0, end=len(text), text=text, words=words)


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("轻合乳液昨天发表声明。", "青禾乳业昨天发表声明。"),
        ("长领中共在公告中表示，长领中共停产。", "长岭重工在公告中表示，长岭重工停产。"),
        ("董事会建议朝上银行分红。", "董事会建议招商银行分红。"),
        ("恒月地产，新来生物", "恒岳地产，星澜生物"),
        ("笔亚迪在欧洲建厂", "比亚迪在欧洲建厂"),
        ("彭讯今天公布业绩", "腾讯今天公布业绩"),
    ],
)
def test_names_are_found_by_their_sound(heard: str, meant: str) -> None:
    segment = spoken(heard, 0.4)
    (corrected,) = Names(WATCHED).correct([segment])
    assert corrected.text == meant
    assert corrected.words == segment.words, "what was heard is kept"


@pytest.mark.parametrize(
    "text",
    [
        "这件事惊动了总部。",  # sounds like 京东
        "招商银行和平安银行都表示增长。",
        "中共中央召开会议。",
        "新来的生物老师",
        "产品分为乳液和面霜。",
        "招商引资",
        "",
    ],
)
def test_what_the_model_was_sure_of_stays(text: str) -> None:
    assert Names(WATCHED).correct([spoken(text, 0.95)])[0].text == text


def test_what_was_doubted_once_is_doubted_everywhere() -> None:
    """Heard so: a model is sure of what it has written before."""
    first, later = spoken("新来生物今天公告。", 0.4), spoken("新来生物股价上涨。", 0.995)
    assert [each.text for each in Names(WATCHED).correct([first, later])] == [
        "星澜生物今天公告。",
        "星澜生物股价上涨。",
    ]
    assert Names(WATCHED).correct([later]) == (later,)


def test_a_common_word_that_was_mumbled_once_stays_elsewhere() -> None:
    names = Names(["中信", "鴻海精密"])
    mumbled, clear = spoken("他在市中心。", 0.4), spoken("中心位于市中心。", 0.99)
    assert [each.text for each in names.correct([mumbled, clear])] == ["他在市中信。", "中心位于市中心。"]
    assert (
        names.correct([spoken("鸿海精密", 0.9)])[0].text == "鸿海精密"
    )  # transcripts are simplified, a watchlist need not be


def test_a_watched_name_is_never_made_another() -> None:
    names = Names(["恒岳地产", "恒月地产"])
    for text in ("恒岳地产", "恒月地产和恒岳地产"):
        assert names.correct([spoken(text, 0.1)])[0].text == text


def test_without_words_only_long_names_are_found() -> None:
    names = Names(WATCHED)
    assert names.correct([Segment(start=0, end=1, text="轻合乳液")])[0].text == "青禾乳业"
    assert names.correct([Segment(start=0, end=1, text="惊动")])[0].text == "惊动"


def test_distances() -> None:
    assert distance("重", "中") == 0
    assert distance("星", "新") == 0.125
    assert distance("腾", "彭") == 0.25
    assert distance("行", "杭") == 0
    assert distance("腾", "华") == 1
    assert distance("岭", "林") == distance("林", "岭") <= 0.25


@given(st.text(alphabet="轻青合禾乳液业长领中共，。京东惊动A1腾讯", max_size=40), st.floats(0, 1))
def test_lengths_and_marks_stay(text: str, probability: float) -> None:
    names = Names(WATCHED)
    (corrected,) = names.correct([spoken(text, round(probability, 3))])
    assert len(corrected.text) == len(text)
    assert [c for c in corrected.text if c in "，。A1"] == [c for c in text if c in "，。A1"]
    for name in WATCHED:
        assert corrected.text.count(name) >= text.count(name)
