"""A stand-in for Baichuan's tokenizer, trained once a session on real Chinese news, and checkpoints around it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from llm.inews import load


@pytest.fixture(scope="session")
def news() -> list[str]:
    """5,355 news with their titles."""
    return [f"{document.title}\n{document.text}" for document in load("train")]


@pytest.fixture(scope="session")
def tokenizer_models(tmp_path_factory: pytest.TempPathFactory, news: list[str]) -> dict[int, Path]:
    """tokenizer.model of both generations."""
    from tests.llm.baichuan.standin import train_tokenizer

    folder = tmp_path_factory.mktemp("tokenizers")
    code = ["def f(x):", "        return x ** 2", "    if a  ==  b:"] * 20
    lines = [line for text in news[:1000] for line in text.split("\n")] + code
    for generation in (1, 2):
        train_tokenizer(folder / f"{generation}.model", lines, generation=generation)
    return {generation: folder / f"{generation}.model" for generation in (1, 2)}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of the original layout on disk, and what is in it."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Any]


Make = Callable[..., Checkpoint]


@pytest.fixture
def checkpoint(tmp_path: Path, tokenizer_models: dict[int, Path]) -> Make:
    """Makes a checkpoint: generation, safe=True for safetensors, number_type, and changes of the configuration."""
    import torch

    from tests.llm.baichuan.standin import config_of, random_weights, save_checkpoint

    def make(generation: int = 2, *, safe: bool = False, number_type: str = "float32", **changes: Any) -> Checkpoint:
        folder = tmp_path / f"original-{len(list(tmp_path.iterdir()))}"
        config = config_of(generation, **changes)
        tensors = {name: value.to(getattr(torch, number_type)) for name, value in random_weights(config).items()}
        save_checkpoint(folder, config, tensors, tokenizer_models[generation].read_bytes(), safe=safe)
        return Checkpoint(folder, config, tensors)

    return make
