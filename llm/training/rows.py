"""Samples as rows of token ids for transformers' Trainer: loss on the answers, rows alike in length or packed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm.dataset import Sample
from llm.training.samples import TrainingError, encode_answer, render

IGNORED = -100  # PyTorch's label of what is not learnt
# Batches among which samples are sorted by length: more are alike in length, fewer in random order.
BUCKET = 20


@dataclass
class Row:
    """Token ids, the weight of each in the loss (0: part of a prompt), and each one's position in its sample."""

    ids: list[int]
    weights: list[float]
    positions: list[int]


def rows_of(
    samples: Sequence[Sample], tokenizer: Any, cutoff: int, label_weight: float, company_weight: float
) -> list[Row]:
    """A row for each sample of at most `cutoff` tokens. Raises TrainingError when there is none."""
    found = []
    for sample in samples:
        item = encode_answer(sample, render(sample.messages, tokenizer), tokenizer, label_weight, company_weight)
        if len(item.ids) <= cutoff:
            weights = [0.0] * item.start + item.weights
            found.append(Row(item.ids, weights, list(range(len(item.ids)))))
    if not found:
        raise TrainingError(f"no sample has at most {cutoff} tokens", cure="raise cutoff")
    return found


def packed(rows: Sequence[Row], cutoff: int) -> list[Row]:
    """Rows of at most `cutoff` tokens that hold several samples each: first fit, the longest first.

    Positions begin anew with each sample, by which the attention keeps them apart.
    """
    bins: list[list[Row]] = []
    room: list[int] = []
    for row in sorted(rows, key=lambda each: -len(each.ids)):
        place = next((i for i, left in enumerate(room) if left >= len(row.ids)), None)
        if place is None:
            bins.append([row])
            room.append(cutoff - len(row.ids))
        else:
            bins[place].append(row)
            room[place] -= len(row.ids)
    return [
        Row(
            [token for row in chosen for token in row.ids],
            [weight for row in chosen for weight in row.weights],
            [position for row in chosen for position in row.positions],
        )
        for chosen in bins
    ]


def arranged(rows: Sequence[Row], epochs: int, batch: int, seed: int) -> list[int]:
    """The order in which rows are read: every row once an epoch, in batches of like length, the batches at random.

    It depends on nothing but these values, so that an interrupted run finds its place again.
    """
    chance = random.Random(seed)  # noqa: S311
    found: list[int] = []
    left: list[int] = []  # less than a batch of an epoch's rows, which begin the next one's
    for _ in range(epochs):
        order = list(range(len(rows)))
        chance.shuffle(order)
        order = left + order
        batches = []
        for begin in range(0, len(order), BUCKET * batch):
            bucket = sorted(order[begin : begin + BUCKET * batch], key=lambda i: len(rows[i].ids))
            whole = len(bucket) // batch * batch
            batches += [bucket[i : i + batch] for i in range(0, whole, batch)]
            left = bucket[whole:]  # of the last bucket; the others are whole
        chance.shuffle(batches)
        found += [i for each in batches for i in each]
    return found + left


def collate(rows: Sequence[Row], padding: int, *, pack: bool) -> dict[str, Any]:
    """Tensors (rows, longest row). Packed rows have positions and no mask, from which the attention sees where samples begin;
    padding is a sample of its own there.
    """
    import torch

    width = max(len(row.ids) for row in rows)

    def filled(name: str, filler: int, kind: Any) -> Any:
        return torch.tensor([getattr(row, name) + [filler] * (width - len(row.ids)) for row in rows], dtype=kind)

    ids, weights = filled("ids", padding, torch.long), filled("weights", 0, torch.float)
    found = {"input_ids": ids, "weights": weights, "labels": ids.masked_fill(weights == 0, IGNORED)}
    if pack:
        positions = [row.positions + list(range(width - len(row.ids))) for row in rows]
        return found | {"position_ids": torch.tensor(positions, dtype=torch.long)}
    mask = [[1] * len(row.ids) + [0] * (width - len(row.ids)) for row in rows]
    return found | {"attention_mask": torch.tensor(mask, dtype=torch.long)}
