"""From utterances to what Whisper learns from: mel features of 30 s, and the decoder's tokens."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.audio import SAMPLE_RATE
from asr.conditions import Samples, apply_condition
from asr.evaluate import samples_of
from asr.manifests import Utterance
from asr.training_config import TrainingConfig
from asr.transformers_model import special_tokens
from yuqing.errors import YuqingError

LONGEST_S = 30.0  # Whisper's window
_PROMPT_SHARE = 0.5
_NO_TARGET = -100  # cross_entropy's ignore_index


class TrainingError(YuqingError):
    """Training cannot start or go on; the message says why."""


@dataclass(frozen=True)
class Example:
    """One clip: features (mel bins, 3000), which frames hold sound, decoder inputs and what should follow each of them."""

    features: NDArray[np.float32]
    frames: NDArray[np.int64]
    inputs: list[int]
    targets: list[int]


class Tokens:
    """Whisper's tokenizer, and the tokens that frame a text."""

    def __init__(self, folder: Path, language: str, longest: int) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        special = special_tokens(folder)
        if f"<|{language}|>" not in special:
            raise TrainingError(f"the model knows no language {language}", cure="give its code, such as zh")
        self._previous = special["<|startofprev|>"]
        names = ("<|startoftranscript|>", f"<|{language}|>", "<|transcribe|>", "<|notimestamps|>")
        self._head = [special[name] for name in names]
        self.end = special["<|endoftext|>"]
        self._longest = longest

    def encode(self, text: str, prompt: str = "") -> tuple[list[int], list[int]]:
        """Decoder inputs and targets; the prompt and the head are no targets. Raises ValueError for a text too long."""
        before = [self._previous, *self._plain(prompt)] if prompt else []
        head, said = [*before, *self._head], [*self._plain(text), self.end]
        if len(head) + len(said) - 1 > self._longest:
            raise ValueError(f"{len(head) + len(said) - 1} tokens, and the model takes {self._longest}")
        return [*head, *said[:-1]], [_NO_TARGET] * (len(head) - 1) + said

    def count(self, text: str) -> int:
        """How many tokens a text has, with the one that ends it."""
        return len(self._plain(text)) + 1

    def room(self, wanted: int) -> int:
        """How many tokens, of so many, the decoder can write after its head."""
        return min(wanted, self._longest - len(self._head))

    def _plain(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def usable(utterances: Sequence[Utterance], tokens: Tokens, prompt: str) -> tuple[list[Utterance], int]:
    """Those whose text fits the decoder, and how many were left out. Raises TrainingError when none is left."""
    kept = []
    for utterance in utterances:
        try:
            tokens.encode(utterance.text, prompt)
        except ValueError:
            continue
        if utterance.text.strip() and (utterance.end is None or utterance.end - utterance.start <= LONGEST_S):
            kept.append(utterance)
    if not kept:
        raise TrainingError("no clip is short enough to learn from", cure=f"cut them to {LONGEST_S:g} s at most")
    return kept, len(utterances) - len(kept)


class Clips:
    """A torch data set: asked for (epoch, index) it answers the Example that this epoch makes of the clip, always the same."""

    def __init__(self, utterances: Sequence[Utterance], tokens: Tokens, config: TrainingConfig, mel_bins: int) -> None:
        from transformers import WhisperFeatureExtractor

        self._utterances, self._tokens, self._config = utterances, tokens, config
        self._extract: Any = WhisperFeatureExtractor(feature_size=mel_bins)

    def __len__(self) -> int:
        return len(self._utterances)

    def samples(self, index: int, condition: str, seed: int) -> Samples:
        """The clip's sound under a condition. Raises TrainingError when it lasts too long."""
        utterance = self._utterances[index]
        samples = samples_of(utterance)
        if len(samples) > LONGEST_S * SAMPLE_RATE:
            raise TrainingError(
                f"{utterance.id} lasts {len(samples) / SAMPLE_RATE:.1f} s", cure=f"cut it to {LONGEST_S:g} s at most"
            )
        return apply_condition(condition, samples, seed)

    def features(self, samples: Samples) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Mel features (bins, 3000) and the mask of the frames with sound."""
        found = self._extract(samples, sampling_rate=SAMPLE_RATE, return_attention_mask=True, return_tensors="np")
        return found["input_features"][0], found["attention_mask"][0].astype(np.int64)

    def __getitem__(self, key: tuple[int, int]) -> Example:
        epoch, index = key
        chance = random.Random(f"{self._config.seed}/{epoch}/{index}")  # noqa: S311
        condition = chance.choice(self._config.conditions)
        prompt = self._config.prompt if chance.random() < _PROMPT_SHARE else ""
        features, frames = self.features(self.samples(index, condition, chance.getrandbits(32)))
        return Example(features, frames, *self._tokens.encode(self._utterances[index].text, prompt))


def collate(examples: Sequence[Example]) -> dict[str, Any]:
    """A batch of tensors; shorter rows are filled up with what is no target."""
    import torch

    width = max(len(example.inputs) for example in examples)
    inputs = torch.zeros((len(examples), width), dtype=torch.long)
    targets = torch.full((len(examples), width), _NO_TARGET)
    for row, example in enumerate(examples):
        inputs[row, : len(example.inputs)] = torch.tensor(example.inputs)
        targets[row, : len(example.targets)] = torch.tensor(example.targets)
    return {
        "features": torch.from_numpy(np.stack([example.features for example in examples])),
        "frames": torch.from_numpy(np.stack([example.frames for example in examples])),
        "inputs": inputs,
        "targets": targets,
    }


def batches(count: int, size: int, epochs: int, seed: int) -> list[list[tuple[int, int]]]:
    """(epoch, index) of every batch of a run, each epoch in an order of its own."""
    found = []
    for epoch in range(epochs):
        order = list(range(count))
        random.Random(f"{seed}/{epoch}").shuffle(order)  # noqa: S311
        found += [[(epoch, index) for index in order[begin : begin + size]] for begin in range(0, count, size)]
    return found
