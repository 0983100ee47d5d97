"""A training set: each text once, nothing in two splits, all labels, and human labels in the answers."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.analysis.prompts import Company
from llm.analysis.schema import read_answer
from llm.dataset import read_samples, text_key
from llm.evaluation.documents import LabelledCompany, LabelledDocument, document_of, read_documents
from llm.inews import DatasetError
from llm.instructions.build import whole_sample
from llm.instructions.checks import split, without_duplicates
from llm.instructions.run import _document_line, make
from yuqing.contracts import SENTIMENTS
from yuqing.settings import load_settings

ENTITIES = Path(__file__).parents[2] / "data" / "entity_sentiment" / "documents.jsonl"
SHARES = {"dev": 0.2, "test": 0.2}
DOCUMENTS = st.lists(
    st.builds(
        LabelledDocument,
        st.just("题"),
        st.sampled_from([f"第{n}篇文章今天发布，它的内容各不相同，一共有很多篇。" for n in range(9)]),
        st.sampled_from(SENTIMENTS),
        st.uuids().map(str),
        st.sampled_from(["", "train", "dev", "test"]),
    ),
    max_size=40,
)


@given(DOCUMENTS, st.integers(0, 3))
def test_no_text_is_twice_or_in_two_splits_and_none_is_lost(documents: list[LabelledDocument], seed: int) -> None:
    kept, dropped = without_duplicates(documents)
    assert len(kept) + len(dropped) == len(documents)
    assert {text_key(each) for each in kept} == {text_key(each) for each in documents}
    splits = split(kept, SHARES, seed)
    keys = [text_key(each) for chosen in splits.values() for each in chosen]
    assert len(keys) == len(set(keys)) == len(kept)
    assert all(each.part in ("", name) for name, chosen in splits.items() for each in chosen)
    assert splits == split(kept, SHARES, seed)
    # What is held out stays held out: a copy in train goes, never the one in test.
    for each in documents:
        if each.part == "test":
            assert text_key(each) in {text_key(one) for one in splits["test"]}


def test_a_sample_says_what_people_labelled() -> None:
    record = {
        "title": "滴滴与美团", "text": "天气很好。滴滴昨天道歉。美团营收增长。", "sentiment": "neutral",
        "companies": [
            {"name": "滴滴", "sentiment": "negative", "risk": 3, "types": ["产品质量", "不存在"], "evidence": ["滴滴昨天道歉"]},
            {"name": "美团", "sentiment": "positive"},
        ],
    }  # fmt: skip
    sample = whole_sample(document_of(record, "1"), lambda text, count: ["滴滴"])
    answer = read_answer(sample.answer, ["滴滴", "美团"])
    didi, meituan = answer.companies
    assert (answer.sentiment, didi.sentiment, didi.risk, didi.evidence) == ("neutral", "negative", 3, [2])
    assert (meituan.sentiment, meituan.risk, meituan.types, meituan.evidence) == ("positive", 0, [], [3])
    assert "不存在" not in sample.answer


def test_evidence_that_stands_twice_is_read_back_at_its_place() -> None:
    company = LabelledCompany(Company("滴滴"), "negative", ((7, 11), (0, 4)), 2, ("舆论危机",))
    written = LabelledDocument("题", "滴滴道歉。又，滴滴道歉。", "negative", "a", "dev", (company,))
    line = json.loads(json.dumps(_document_line(written)))
    assert document_of({**line, "part": "dev"}, "1") == written


def test_shares_are_those_of_all_documents_without_a_split() -> None:
    free = [LabelledDocument("题", f"第{n}篇", label, f"{label}{n}", "") for n in range(10) for label in SENTIMENTS]
    sizes = {name: len(chosen) for name, chosen in split(free, {"dev": 0.4, "test": 0.4}, 1).items()}
    assert sizes == {"train": 6, "dev": 12, "test": 12}


def test_texts_with_separators_of_unicode_are_read_as_they_were_written(tmp_path: Path) -> None:
    _lines(tmp_path / "own.jsonl", 20)
    own = (tmp_path / "own.jsonl").read_text(encoding="utf-8").replace("，", "\u2028\x85")
    (tmp_path / "own.jsonl").write_text(own, encoding="utf-8")
    out = tmp_path / "set"
    report = make([str(tmp_path / "own.jsonl")], out, load_settings(), shares=SHARES, whole=0.1, seed=3)
    for name, found in report["splits"].items():
        assert len(read_samples(out / f"{name}.jsonl")) == found["documents"] > 0
        if name != "train":
            documents = read_documents(out / f"{name}.documents.jsonl")
            assert len(documents) == found["documents"] and "\u2028" in documents[0].text


def _lines(path: Path, count: int, **more: str) -> None:
    words = {"negative": "亏损", "neutral": "会议", "positive": "获奖"}
    rows = [
        {
            "title": f"第{n}号{word}",
            "text": f"第{n}号公司今天{word}，本报记者报道了这一消息的全部内容。",
            "sentiment": label,
        }
        | more
        for n in range(count)
        for label, word in words.items()
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def test_a_set_is_made_with_its_report(tmp_path: Path) -> None:
    _lines(tmp_path / "own.jsonl", 20)
    with (tmp_path / "own.jsonl").open("a", encoding="utf-8") as file:
        first = json.loads((tmp_path / "own.jsonl").read_text(encoding="utf-8").splitlines()[0])
        file.write(json.dumps(first | {"sentiment": "positive"}) + "\n{broken\n")
    out = tmp_path / "set"
    made = [
        make([str(tmp_path / "own.jsonl"), str(ENTITIES.with_name("documents.jsonl"))], out, load_settings(),
             shares=SHARES, whole=0.1, seed=3)
        for _ in range(2)
    ]  # fmt: skip
    assert made[0] == made[1]
    report = made[0]
    assert report["read"] == 62 + 128
    assert report["reasons"] == {"not a line of JSON": 1, "duplicate (another label)": 1}
    sizes = {name: len(read_samples(out / f"{name}.jsonl")) for name in ("train", "dev", "test")}
    assert sizes == {name: found["documents"] for name, found in report["splits"].items()}
    assert sum(sizes.values()) == report["read"] - 2
    dev = read_documents(out / "dev.documents.jsonl")
    assert len(dev) == sizes["dev"]
    assert not {text_key(each) for each in dev} & {
        text_key(each) for each in read_documents(out / "test.documents.jsonl")
    }
    labelled = {each.text: each.companies for each in read_documents(ENTITIES)}
    assert any(each.companies and each.companies[0].evidence for each in dev)
    assert all(each.companies == labelled[each.text] for each in dev if each.companies)
    assert "another label" in (out / "report.md").read_text(encoding="utf-8")


def test_a_split_without_a_label_and_a_wrong_file_are_refused(tmp_path: Path) -> None:
    settings = load_settings()

    def made(*sources: str, tolerated: float = 0.05) -> None:
        make([*sources], tmp_path / "set", settings, shares=SHARES, whole=0, seed=1, tolerated=tolerated)

    _lines(tmp_path / "train.jsonl", 4, split="train")
    rows = (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()
    (tmp_path / "neutral.jsonl").write_text(rows[1].replace('"train"', '"dev"').replace("第0号", "又") + "\n")
    with pytest.raises(DatasetError, match="split dev has no positive document among 1"):
        made(str(tmp_path / "train.jsonl"), str(tmp_path / "neutral.jsonl"))
    (tmp_path / "broken.jsonl").write_text("\n".join([*rows[:3], "nonsense"]))
    with pytest.raises(DatasetError, match="1 of 4 records .* broken.jsonl:4: not a line of JSON"):
        made(str(tmp_path / "broken.jsonl"))
    made(str(tmp_path / "train.jsonl"), str(tmp_path / "broken.jsonl"), tolerated=0.5)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DatasetError, match="holds no labelled documents"):
        made(str(tmp_path / "empty.jsonl"))
