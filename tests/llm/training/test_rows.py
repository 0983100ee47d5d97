"""Rows for the Trainer: nothing is lost, nothing is longer than it may be, packed samples do not see each other."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm.training.rows import IGNORED, Row, arranged, collate, packed


def _row(size: int, first: int = 1) -> Row:
    return Row([first] * size, [0.0] * (size // 2) + [1.0] * (size - size // 2), list(range(size)))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60))
def test_packing_keeps_every_sample_whole(sizes: list[int]) -> None:
    rows = [_row(size, number) for number, size in enumerate(sizes)]
    bins = packed(rows, 50)
    assert all(len(each.ids) == len(each.weights) == len(each.positions) <= 50 for each in bins)
    assert sum(len(each.ids) for each in bins) == sum(sizes)
    found = {}
    for each in bins:
        starts = [i for i, position in enumerate(each.positions) if position == 0]
        for begin, end in zip(starts, [*starts[1:], len(each.ids)], strict=True):
            assert len(set(each.ids[begin:end])) == 1
            found[each.ids[begin]] = end - begin
    assert found == dict(enumerate(sizes))


@given(st.lists(st.integers(1, 300), min_size=1, max_size=200), st.integers(1, 3), st.integers(1, 9))
def test_every_row_is_read_once_an_epoch(sizes: list[int], epochs: int, batch: int) -> None:
    rows = [_row(size) for size in sizes]
    order = arranged(rows, epochs, batch, 3)
    assert sorted(order) == sorted(list(range(len(rows))) * epochs)
    assert order == arranged(rows, epochs, batch, 3)


def test_batches_are_of_like_length() -> None:
    rows = [_row(size) for size in random.Random(3).sample(range(1, 900), 400)]
    order = arranged(rows, 1, 8, 3)
    waste = [
        max(len(rows[i].ids) for i in order[begin : begin + 8]) * 8
        - sum(len(rows[i].ids) for i in order[begin : begin + 8])
        for begin in range(0, 400, 8)
    ]
    assert sum(waste) < 0.1 * sum(len(row.ids) for row in rows)


@pytest.mark.service
def test_packed_samples_do_not_see_each_other(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from tests.llm.tiny import save_tiny_model

    save_tiny_model(tmp_path, number_type="float32")
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    rows = [Row(ids, [1.0] * len(ids), list(range(len(ids)))) for ids in ([5, 6, 7, 8], [9, 10, 11], [40, 41], [90])]
    together = collate(packed(rows, 8), 0, pack=True)
    assert together["input_ids"].shape == (2, 8)
    assert (together["labels"] == IGNORED).sum() == 6
    alone = collate(rows, 0, pack=False)
    with torch.no_grad():
        apart = model(input_ids=alone["input_ids"], attention_mask=alone["attention_mask"], use_cache=False).logits
        mixed = model(input_ids=together["input_ids"], position_ids=together["position_ids"], use_cache=False).logits
    for row, logits in zip(rows, apart, strict=True):
        for k, ids in enumerate(together["input_ids"].tolist()):
            for begin in range(9 - len(row.ids)):
                if ids[begin : begin + len(row.ids)] == row.ids and together["position_ids"][k, begin] == 0:
                    assert torch.allclose(mixed[k, begin : begin + len(row.ids)], logits[: len(row.ids)], atol=1e-4)
                    break
            else:
                continue
            break
        else:
            pytest.fail("a sample is not in its bin")
