import json
import random
from pathlib import Path

import pytest

from llm import weak_labels
from llm.analysis.schema import read_answer
from llm.dataset import build, make_sample, read_samples, text_key, without_leaks, write_samples
from llm.inews import DatasetError, LabelledNews
from yuqing.text.sentences import sentence_spans

NEGATIVE = LabelledNews(
    "滴滴顺风车司机涉案被警方刑拘_大河网",
    "滴滴就乘客遇害道歉。网友质疑其审核。天气很好。美团今日发布新品。",
    "negative",
)
POSITIVE = LabelledNews("格力捐赠一千万元获点赞", "格力向灾区捐赠。当地表示感谢。", "positive")
NEUTRAL = LabelledNews(
    "今天的天气", "今天晴，明天多云。后天有雨，请带伞出门。周末气温回升，适合到郊外走走看看。", "neutral"
)


def _words(text: str, count: int) -> list[str]:
    return text.replace("。", " ").split()[:count]


def test_the_whole_answer_keeps_the_human_label_and_can_be_read() -> None:
    sample = make_sample(NEGATIVE, full=True, budget=200, extract=_words, chance=random.Random(1))
    answer = read_answer(sample.answer, ["滴滴", "美团"])
    didi, meituan = answer.companies
    assert (answer.sentiment, answer.summary) == ("negative", "滴滴顺风车司机涉案被警方刑拘")
    assert (didi.sentiment, didi.risk, didi.evidence) == ("negative", 4, [1])
    assert (meituan.sentiment, meituan.risk, meituan.types, meituan.evidence) == ("neutral", 0, [], [4])


def test_a_short_sample_ends_with_the_label() -> None:
    sample = make_sample(POSITIVE, full=False, budget=60, extract=_words, chance=random.Random(1))
    assert sample.answer == '{"sentiment":"positive"'


def test_the_company_of_a_negative_document_that_stands_at_its_edge_is_judged_by_its_own_sentence() -> None:
    spans = sentence_spans(NEGATIVE.text)
    judged = weak_labels.weak_company(1, "美团", NEGATIVE.title, NEGATIVE.text, spans, "negative")
    assert judged.sentiment == "neutral"


def test_a_company_that_is_not_there_is_neutral_without_evidence() -> None:
    judged = weak_labels.weak_company(
        1, "茅台", NEGATIVE.title, NEGATIVE.text, sentence_spans(NEGATIVE.text), "negative"
    )
    assert (judged.sentiment, judged.risk, judged.evidence) == ("neutral", 0, [])


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("警方抓获大盗-孟州新闻网", "警方抓获大盗"),
        ("不好意思，你不配!_搜狐汽车_搜狐网", "不好意思，你不配!"),
        ("短_网", "短_网"),
        ("没有尾巴的标题", "没有尾巴的标题"),
    ],
)
def test_site_names_are_cut_off_titles(title: str, expected: str) -> None:
    assert weak_labels.clean_title(title) == expected


@pytest.mark.parametrize(
    ("title", "category"),
    [
        ("关于股东大会的公告", "公司公告"),
        ("一季报净利润大增", "财务报告"),
        ("滴滴为何道歉", "评论"),
        ("滴滴道歉", "新闻报道"),
    ],
)
def test_categories(title: str, category: str) -> None:
    assert weak_labels.weak_category(title) == category


def test_what_occurs_in_held_out_splits_is_left_out() -> None:
    copy = LabelledNews("别的标题", NEUTRAL.text.replace("，", ", "), "negative")
    assert without_leaks([NEGATIVE, copy, NEGATIVE, POSITIVE], [NEUTRAL]) == [NEGATIVE, POSITIVE]
    assert text_key(copy) == text_key(NEUTRAL)


def test_a_set_is_the_same_for_the_same_seed_and_uses_no_document_twice() -> None:
    news = [LabelledNews(f"第{n}篇滴滴", f"滴滴第{n}天。", "negative") for n in range(20)]
    news += [LabelledNews(f"第{n}篇无", f"第{n}天无事。", "neutral") for n in range(20)]
    samples = build(news, full=9, labels=20, seed=3, extract=_words)
    assert samples == build(news, full=9, labels=20, seed=3, extract=_words)
    assert samples != build(news, full=9, labels=20, seed=4, extract=_words)
    assert sum(sample.full for sample in samples) == 9
    prompts = [sample.messages[1]["content"] for sample in samples]
    assert len(set(prompts)) == len(prompts) == 29
    with pytest.raises(ValueError, match="samples asked"):
        build(news, full=30, labels=30, seed=3, extract=_words)


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    samples = build([NEGATIVE, POSITIVE, NEUTRAL], full=2, labels=1, seed=1, extract=_words)
    write_samples(samples, tmp_path / "set.jsonl")
    assert read_samples(tmp_path / "set.jsonl") == samples


@pytest.mark.parametrize("line", ["nonsense", json.dumps({"messages": []}), ""])
def test_a_broken_file_names_the_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "set.jsonl").write_text(line + "\n")
    with pytest.raises(DatasetError, match="line 1|no samples"):
        read_samples(tmp_path / "set.jsonl")
