"""A run's samples: our own, alpaca and sharegpt JSON lines, told apart by their keys; and what is held out of them."""

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm.analysis.prompts import PROMPT_VERSION
from llm.dataset import Sample, dev_samples
from llm.evaluation.documents import INEWS
from llm.inews import DatasetError
from llm.training.config import RunConfig

_ROLES = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "model": "assistant",
    "system": "system",
}  # fmt: skip


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"{name} is a {type(value).__name__}, not a text")
    return value.strip()


def _own(record: dict[str, Any]) -> list[Sample]:
    if record.get("prompt_version", PROMPT_VERSION) != PROMPT_VERSION:
        raise ValueError(f"it was built with the prompt {record['prompt_version']}, this release has {PROMPT_VERSION}")
    if not str(record["answer"]).strip():
        raise ValueError("the answer is empty")
    return [Sample(tuple(record["messages"]), str(record["answer"]), bool(record["full"]), str(record["sentiment"]))]


def _alpaca(record: dict[str, Any]) -> list[Sample]:
    question = "\n".join(part for part in (_text(record, "instruction"), _text(record, "input")) if part)
    answer = _text(record, "output")
    if not question or not answer:
        raise ValueError(f"the {'instruction' if not question else 'output'} is empty")
    system = [{"role": "system", "content": _text(record, "system")}] if _text(record, "system") else []
    return [Sample((*system, {"role": "user", "content": question}), answer, True, "")]


def _sharegpt(record: dict[str, Any]) -> list[Sample]:
    """A sample for each of the assistant's turns, with the turns before it as its prompt."""
    turns = record.get("conversations", record.get("messages"))
    if not isinstance(turns, list):
        raise ValueError("conversations is no list")
    messages: list[dict[str, str]] = []
    if _text(record, "system"):
        messages.append({"role": "system", "content": _text(record, "system")})
    found = []
    for turn in turns:
        told = str(turn.get("from", turn.get("role")))
        if told not in _ROLES:
            raise ValueError(f"a turn is from {told!r}; known are {', '.join(_ROLES)}")
        content = _text(turn, "value" if "value" in turn else "content")
        if not content:
            raise ValueError(f"a turn from {told} is empty")
        if _ROLES[told] == "assistant":
            if not messages or messages[-1]["role"] != "user":
                raise ValueError("an answer has no question before it")
            found.append(Sample(tuple(messages), content, True, ""))
        messages.append({"role": _ROLES[told], "content": content})
    if not found:
        raise ValueError("nobody answers")
    return found


def samples_of(record: Any) -> list[Sample]:
    """The samples of one JSON object. Raises ValueError, KeyError, TypeError or AttributeError for what is none."""
    if not isinstance(record, dict):
        raise ValueError(f"the line is a {type(record).__name__}, not an object")
    if "answer" in record:
        return _own(record)
    if "output" in record or "instruction" in record:
        return _alpaca(record)
    if "conversations" in record or "messages" in record:
        return _sharegpt(record)
    raise ValueError(f"it is neither a sample, nor alpaca's, nor sharegpt's; it has {', '.join(record) or 'nothing'}")


def read_training_file(path: Path) -> list[Sample]:
    """The samples of a JSON-lines file. Raises DatasetError naming the line and the reason."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from None
    found: list[Sample] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            found += samples_of(json.loads(line.decode()))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            reason = f"there is no {error}" if isinstance(error, KeyError) else str(error)
            raise DatasetError(f"line {number} of {path} is no sample: {reason}", cure="mend or remove it") from None
    if not found:
        raise DatasetError(f"{path} holds no samples")
    return found


def hashes_of(config: RunConfig) -> dict[str, str]:
    """sha256 of each file of the run, by its path, for the run card."""
    held = config.validation
    files = [*config.data, *([Path(held)] if isinstance(held, str) and not held.startswith(INEWS) else [])]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _question(sample: Sample) -> str:
    """What a sample's conversation begins with: later turns of one conversation share it."""
    return next(message["content"] for message in sample.messages if message["role"] == "user")


def _held_out(samples: list[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """The samples in two by their conversations, so that none is in both parts."""
    questions = sorted({_question(sample) for sample in samples})
    random.Random(seed).shuffle(questions)  # noqa: S311
    held = set(questions[: round(share * len(questions))])
    parts: tuple[list[Sample], list[Sample]] = ([], [])
    for sample in samples:
        parts[_question(sample) in held].append(sample)
    return parts


def load(config: RunConfig) -> tuple[list[Sample], list[Sample]]:
    """Samples to learn from and those to validate on. Raises DatasetError; a sample that is in both is a leak."""
    samples = [sample for path in config.data for sample in read_training_file(path)]
    if isinstance(config.validation, str) and config.validation.startswith(INEWS):
        if config.validation != f"{INEWS}dev":
            raise DatasetError(
                f"validation: {config.validation} would spoil it", cure="use inews:dev, a file or a share"
            )
        return samples, dev_samples(config.validation_documents or 150)
    if isinstance(config.validation, str):
        held = read_training_file(Path(config.validation))
        questions = {_question(sample) for sample in samples}
        leaked = sum(_question(sample) in questions for sample in held)
        if leaked:
            raise DatasetError(
                f"{leaked} samples of {config.validation} are among the training samples",
                cure="split them with `yuqing llm dataset --from`, which keeps a text in one split",
            )
    else:
        samples, held = _held_out(samples, config.validation, config.seed)
    return samples, thinned(held, config.validation_documents)


def thinned(held: Sequence[Sample], most: int | None) -> list[Sample]:
    """At most so many of the samples, chosen at random with a fixed seed."""
    chosen = list(held)
    if most is not None and len(chosen) > most:
        random.Random(1).shuffle(chosen)  # noqa: S311
        chosen = chosen[:most]
    return chosen
