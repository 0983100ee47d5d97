from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from llm.analysis.prompts import Company
from llm.inheritance import context, find_quotes, normalised, says_the_same
from llm.records import Subject

LEAD = "昨日，青禾股份发布公告。公司称产线已经恢复。"
END = "分析师认为影响有限。市场没有反应。"


def _subject(
    text: str, title: str = "青禾股份恢复生产", companies: dict[int, Company] | None = None, **changes: Any
) -> Subject:
    fields = {
        "doc_id": "d", "content_hash": "h", "title": title, "text": text, "segments": (), "group_id": "g",
        "first_seen": datetime(2026, 1, 1, tzinfo=UTC), "cleaning_version": "1",
        "companies": companies or {1: Company("青禾股份")},
    }  # fmt: skip
    return Subject(**fields | changes)


def test_what_stands_away_from_the_mentions_may_differ() -> None:
    original = _subject(LEAD + END)
    assert says_the_same(_subject("　　昨日，青禾股份发布公告。\n公司称：产线已经恢复。分析师另有看法。"), original)
    assert says_the_same(_subject(LEAD + "（责任编辑：甲）" + END, title="【青禾股份】恢复生产！"), original)
    for other in (
        _subject(LEAD.replace("恢复", "停下") + END),  # a neighbour
        _subject("本报讯。" + LEAD + END),  # a neighbour more
        _subject(LEAD + END + "青禾股份被立案。"),  # a mention more
        _subject(LEAD + END, title="青禾股份没有恢复生产"),
    ):
        assert not says_the_same(other, original)
    both = {1: Company("青禾股份"), 2: Company("分析师")}
    assert says_the_same(original, _subject(LEAD + END, companies=both))
    assert not says_the_same(_subject(LEAD + END, companies=both), original)


def test_an_alias_that_only_the_original_uses_counts_there() -> None:
    text = LEAD + END
    alias = {1: Company("青禾股份", ("市场",))}
    assert not says_the_same(_subject(text), _subject(text, companies=alias))


def test_quotes_are_found_again_with_the_members_own_offsets() -> None:
    member = _subject("本站消息。" + "昨日,青禾股份发布公告。 公司称产线已经恢复。" * 2)
    stored = [{"quote": "公司称产线已经恢复。", "start": 13}, {"quote": "昨日，青禾股份发布公告。", "start": 0}]
    found = find_quotes(stored, member)
    assert found is not None
    assert [item.quote for item in found] == ["昨日,青禾股份发布公告。", "公司称产线已经恢复。"]
    assert all(member.text[item.start : item.end] == item.quote for item in found)
    assert find_quotes([{"quote": "这句话不在。", "start": 0}], member) is None
    assert find_quotes([], member) == []


@given(st.text(max_size=30), st.sampled_from(["", " ", "，", "\u3000", "“"]))
def test_normalisation_is_stable_and_blind_to_punctuation(text: str, noise: str) -> None:
    assert normalised(normalised(text)) == normalised(text) == normalised(noise + text + noise)


@given(st.lists(st.sampled_from(["青禾股份涨。", "天气好。", "没有事。", "别的。"]), max_size=8))
def test_a_context_holds_every_sentence_that_names_the_company(sentences: list[str]) -> None:
    found = context("".join(sentences), Company("青禾股份"))
    assert found.count("青禾股份涨") == sentences.count("青禾股份涨。")
