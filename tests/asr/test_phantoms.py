"""Each phantom is removed with its reason, and speech is left alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asr.phantoms import Heard, Rules, looping, reason_to_remove, sift, unloop
from yuqing.contracts import Segment

RULES = Rules(
    prompt="以下是普通话的句子。",
    voice_share=0.1,
    loop_repeats=5,
    no_speech_probability=0.6,
    mean_log_probability=-1.0,
    compression_ratio=2.4,
)


def heard(text: str, start: float = 0, end: float = 4, voice_s: float = 3) -> Heard:
    return Heard(Segment(start=start, end=end, text=text), voice_s)


def reason(item: Heard) -> str | None:
    return reason_to_remove(item, RULES)


@pytest.mark.parametrize(
    "text",
    [
        "请不吝点赞 订阅 转发 打赏支持明镜与点点栏目",
        "请不吝点赞，订阅，转发",
        "字幕由Amara.org社群提供",
        "字幕志愿者 李宗盛",
        "中文字幕志愿者 杨栋梁",
        "优优独播剧场——YoYo Television Series Exclusive",
        "作词 李宗盛",
        "作曲：李宗盛",
    ],
)
def test_subtitle_credits_are_removed(text: str) -> None:
    assert (reason(heard(text)) or "").startswith("credits")


@pytest.mark.parametrize(
    "text", ["以下是普通话的句子。", "以下是普通話的句子", "在这儿是普通话的句子。", "以下是普通话的句子，以下是普通话"]
)
def test_echoes_of_the_prompt_are_removed(text: str) -> None:
    assert (reason(heard(text)) or "").startswith("echo")


@pytest.mark.parametrize(
    "text",
    [
        "普通话推广周今天启动。",
        "公司为视频网站制作字幕，收入增长三成。",
        "他请用户在点赞之后留下意见。",
        "这家公司的订阅收入超过广告。",
        "作曲家协会今天发表声明。",
        "以下是公司的回应。",
        "好。",
    ],
)
def test_news_is_left_alone(text: str) -> None:
    assert reason(heard(text)) is None


def test_segments_without_a_voice_are_removed() -> None:
    assert (reason(heard("再来一会儿", voice_s=0)) or "").startswith("no voice")
    assert (reason(heard("再来一会儿", voice_s=0.3)) or "").startswith("no voice")
    assert reason(heard("再来一会儿", voice_s=0.5)) is None
    assert reason(heard("。。。。")) == "no words"


def test_what_the_model_itself_doubts_is_removed() -> None:
    doubted = replace(heard("我们下期再见"), no_speech_probability=0.9, mean_log_probability=-1.4)
    assert (reason(doubted) or "").startswith("no speech")
    assert reason(replace(doubted, no_speech_probability=0.2)) is None
    assert reason(replace(doubted, mean_log_probability=-0.4)) is None


def test_what_comes_back_in_another_order_is_removed() -> None:
    shuffled = (
        "谢谢大家的收看谢谢大家谢谢观看" * 2
        + "谢谢大家谢谢观看谢谢大家的收看谢谢大家谢谢大家的收看谢谢观看谢谢大家谢谢观看" * 2
    )
    found = sift([heard(shuffled), heard("公司公布了前三季度的财务报告，净利润同比增长百分之二十。")], RULES)
    assert [segment.text[:2] for segment in found.kept] == ["公司"]
    assert found.removed[0].reason.startswith("compression")


def test_loops_inside_a_segment_are_cut_to_one_turn() -> None:
    found = sift([heard("延误造成的损失，将按照规定及及及及及及及及。")], RULES)
    assert [segment.text for segment in found.kept] == ["延误造成的损失，将按照规定及。"]
    assert [(segment.text, segment.reason.split(":")[0]) for segment in found.removed] == [("及" * 7, "loop")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("在那里，" * 20, "在那里，"),
        ("请" + "您" * 30, "请您"),
        ("哈哈哈哈", "哈哈哈哈"),
        ("加油加油加油", "加油加油加油"),
        ("净利润1000000000元", "净利润1000000000元"),
        ("11111", "11111"),
    ],
)
def test_unloop(text: str, expected: str) -> None:
    assert unloop(text, 5)[0] == expected


def test_repeated_segments_are_cut_to_the_first() -> None:
    items = [heard("再来一会儿", start, start + 1, 1) for start in range(6)]
    items = [heard("公司今天开会。", 0, 1, 1), *items, heard("会议结束。", 9, 10, 1)]
    found = sift(items, RULES)
    assert [segment.text for segment in found.kept] == ["公司今天开会。", "再来一会儿", "会议结束。"]
    assert [segment.start for segment in found.removed] == [1, 2, 3, 4, 5]
    few = sift(items[:4], RULES)
    assert len(few.kept) == 4


@given(st.lists(st.text(alphabet="今天公司说好坏，。及", min_size=1, max_size=30), max_size=8), st.integers(3, 6))
def test_nothing_is_lost_and_order_is_kept(texts: list[str], repeats: int) -> None:
    items = [heard(text, index, index + 1, 1) for index, text in enumerate(texts)]
    found = sift(items, replace(RULES, loop_repeats=repeats))
    assert {segment.start for segment in found.kept} | {segment.start for segment in found.removed} == set(
        range(len(texts))
    )
    assert [segment.start for segment in found.kept] == sorted(segment.start for segment in found.kept)
    said = sum(map(len, texts))
    assert sum(len(segment.text) for segment in (*found.kept, *found.removed)) == said


def test_later_turns_of_a_loop() -> None:
    assert looping(["一", "二", "二", "二", "一", "一"], 3) == [False, False, True, True, False, False]
    assert looping([], 3) == []


def test_what_was_listened_to_again_is_removed_as_a_loop_wherever_it_stands() -> None:
    items = [heard("好的。", start=0), heard("今天开会。", start=3), replace(heard("好的。", start=4), loops=True)]
    found = sift(items, RULES)
    assert [segment.text for segment in found.kept] == ["好的。", "今天开会。"]
    assert [segment.reason for segment in found.removed] == ["loop: the same segment again and again"]
