"""Training files as people have them."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.dataset import Sample, write_samples
from llm.inews import DatasetError
from llm.training.config import RunConfig
from llm.training.data import load, read_training_file, samples_of

USER = {"from": "human", "value": "问"}
ANSWER = {"from": "gpt", "value": "答"}


def test_alpaca_and_sharegpt_become_prompts_and_answers() -> None:
    (one,) = samples_of({"instruction": "判断情感", "input": "滴滴道歉", "output": "负面", "system": "你是分析师"})
    assert [message["role"] for message in one.messages] == ["system", "user"]
    assert (one.messages[1]["content"], one.answer, one.full) == ("判断情感\n滴滴道歉", "负面", True)
    first, second = samples_of(
        {"conversations": [USER, ANSWER, {"from": "human", "value": "再问"}, {"from": "gpt", "value": "再答"}]}
    )
    assert (first.answer, second.answer) == ("答", "再答")
    assert [message["content"] for message in second.messages] == ["问", "答", "再问"]
    (other,) = samples_of({"messages": [{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}]})
    assert other == first


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"instruction": "a", "output": " "}, "the output is empty"),
        ({"instruction": "", "output": "b"}, "the instruction is empty"),
        ({"instruction": "a", "output": ["b"]}, "output is a list"),
        ({"conversations": []}, "nobody answers"),
        ({"conversations": [ANSWER]}, "no question before it"),
        ({"conversations": [USER, {"from": "gpt", "value": ""}]}, "a turn from gpt is empty"),
        ({"conversations": [USER, {"from": "robot", "value": "x"}]}, "from 'robot'"),
        ({"conversations": "text"}, "conversations is no list"),
        ({"conversations": ["text"]}, "no attribute"),
        ({"answer": "", "messages": [], "full": True, "sentiment": "neutral"}, "the answer is empty"),
        ({"answer": "x"}, "there is no 'messages'"),
        ({"answer": "x", "prompt_version": "analysis-v0"}, "built with the prompt analysis-v0"),
        ({"question": "a"}, "neither a sample, nor alpaca's"),
        ([1], "the line is a list"),
    ],
)
def test_a_broken_line_is_named_with_its_reason(tmp_path: Path, record: Any, reason: str) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text(json.dumps({"instruction": "a", "output": "b"}) + "\n\n" + json.dumps(record) + "\n")
    with pytest.raises(DatasetError, match=f"line 3 of .*: .*{reason}"):
        read_training_file(path)


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    for content, reason in (
        (b"\xff\xfe", "line 1"),
        (b"{", "line 1"),
        (b"\n", "holds no samples"),
        (b"[" * 99_999, "line 1"),
    ):
        path.write_bytes(content)
        with pytest.raises(DatasetError, match=reason):
            read_training_file(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_training_file(tmp_path / "none.jsonl")


def _sample(question: str, *, turns: int = 1) -> Sample:
    messages: list[dict[str, str]] = [{"role": "user", "content": question}]
    for turn in range(1, turns):
        messages += [{"role": "assistant", "content": "答"}, {"role": "user", "content": f"再问{turn}"}]
    return Sample(tuple(messages), "答", True, "neutral")


@given(
    st.lists(st.tuples(st.sampled_from("甲乙丙丁戊己"), st.integers(1, 3)), min_size=1),
    st.sampled_from([0.0, 0.2, 0.5]),
)
def test_no_conversation_is_on_both_sides(asked: list[tuple[str, int]], share: float) -> None:
    from llm.training.data import _held_out

    samples = [_sample(question, turns=turns) for question, turns in asked]
    learnt, held = _held_out(samples, share, 7)
    assert sorted(map(str, learnt + held)) == sorted(map(str, samples))
    assert not {sample.messages[0]["content"] for sample in learnt} & {sample.messages[0]["content"] for sample in held}
    if share == 0:
        assert held == []


def test_a_leak_from_the_training_file_into_the_validation_is_refused(tmp_path: Path) -> None:
    write_samples([_sample(str(n)) for n in range(9)], tmp_path / "train.jsonl")
    write_samples([_sample("8"), _sample("9")], tmp_path / "dev.jsonl")
    config = RunConfig(data=(tmp_path / "train.jsonl",), out=tmp_path, validation=str(tmp_path / "dev.jsonl"))
    with pytest.raises(DatasetError, match="1 samples of .*dev.jsonl are among the training samples"):
        load(config)
    write_samples([_sample(str(n)) for n in range(10, 15)], tmp_path / "dev.jsonl")
    learnt, held = load(config.model_copy(update={"validation_documents": 2}))
    assert (len(learnt), len(held)) == (9, 2)
    with pytest.raises(DatasetError, match="inews:test would spoil it"):
        load(config.model_copy(update={"validation": "inews:test"}))
