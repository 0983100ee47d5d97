"""A run's configuration, and its samples as token ids in batches of like length."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from llm.dataset import Sample
from yuqing.contracts import SENTIMENTS
from yuqing.errors import YuqingError

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class TrainingError(YuqingError):
    """Training cannot start or go on; the message says why."""


@dataclass(frozen=True)
class TrainConfig:
    """What a run is made of; it goes into the run card as it is."""

    last_layers: int = 6
    rank: int = 8
    alpha: int = 16
    learning_rate: float = 5e-4
    warmup: float = 0.06
    epochs: int = 1
    batch_size: int = 12
    # A sample longer than this is left out (and counted): half a sentence teaches a wrong end.
    max_tokens: int = 640
    label_weight: float = 8.0
    company_label_weight: float = 2.0
    seed: int = 7
    checkpoint_every: int = 10
    # Processes of one thread each.
    workers: int = 2
    scheduler: str = "cosine"  # or linear, constant
    max_gradient_norm: float = 1.0
    # Epochs without a better dev until the run ends; 0: never early.
    patience: int = 0
    # Folder of an adapter to begin with, of the same rank and layers; none: begin with one that changes nothing.
    start: str | None = None
    # Multiply in bfloat16 (a CPU with instructions for it); the adapter, its gradients and what layers add up stay float32.
    bf16: bool = False
    targets: tuple[str, ...] = TARGETS


@dataclass
class Encoded:
    """Token ids behind the shared prefix, where the answer starts, and the loss weight of each answer token."""

    ids: list[int]
    start: int
    weights: list[float] = field(default_factory=list)


def render(messages: Sequence[dict[str, str]], tokenizer: Any) -> str:
    """The chat template's text up to where the answer begins."""
    text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    return text


def encode_answer(sample: Sample, prompt: str, tokenizer: Any, label_weight: float, company_weight: float) -> Encoded:
    """A prompt and the sample's answer behind it. Of samples with a sentiment the first label and those of companies weigh more."""
    question = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(sample.answer, add_special_tokens=False)["input_ids"]
    if sample.full:
        answer = [*answer, tokenizer.eos_token_id]
    labels = {tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in SENTIMENTS if sample.sentiment}
    weights, seen = [], 0
    for token in answer:
        is_label = token in labels
        weights.append((label_weight if seen == 0 else company_weight) if is_label else 1.0)
        seen += is_label
    return Encoded([*question, *answer], len(question), weights)


def encode(samples: Sequence[Sample], tokenizer: Any, config: TrainConfig) -> tuple[list[int], list[Encoded]]:
    """The ids of the prefix that all prompts share (their system message), and each sample's ids behind it.

    Raises TrainingError when the samples do not share their system message.
    """
    systems = {sample.messages[0]["content"] for sample in samples}
    if len(systems) != 1:
        raise TrainingError(
            "the samples have different instructions", cure="build the data set with one prompt version"
        )
    prefix_text = render(samples[0].messages, tokenizer).split("<|im_start|>user", 1)[0]
    prefix = tokenizer(prefix_text, add_special_tokens=False)["input_ids"]
    encoded = []
    for sample in samples:
        prompt = render(sample.messages, tokenizer).removeprefix(prefix_text)
        item = encode_answer(sample, prompt, tokenizer, config.label_weight, config.company_label_weight)
        if len(prefix) + len(item.ids) <= config.max_tokens:
            encoded.append(item)
    if not encoded:
        raise TrainingError(f"no sample has at most {config.max_tokens} tokens", cure="raise max_tokens")
    return prefix, encoded


def make_batches(items: Sequence[Encoded], size: int, chance: random.Random) -> list[list[int]]:
    """Indices in batches of like length (buckets of 20 batches are sorted), in random order."""
    order = list(range(len(items)))
    chance.shuffle(order)
    batches = []
    for begin in range(0, len(order), 20 * size):
        bucket = sorted(order[begin : begin + 20 * size], key=lambda i: len(items[i].ids))
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    chance.shuffle(batches)
    return batches
