"""A gate: figures that a run must reach, in a file whose floors only rise.

    {"sha256": "...", "labels_sha256": "...", "llm": {"accuracy": 0.71, "macro_f1": 0.62, "ece_most": 0.07}, "triage": {...}}

A name ending in `_most` is the most that a figure may be. `sha256` (of the documents' texts) and `labels_sha256` (of what people
said of them) are optional: with them the floors are for these documents, labelled so, alone.
"""

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from llm.evaluation.documents import LabelledDocument, content_digest, labels_digest
from llm.inews import DatasetError

MOST = "_most"
DIGEST, LABELS = "sha256", "labels_sha256"
# What a file that did not exist begins with; speeds are a machine's, not a model's.
FIRST = ("documents", "accuracy", "macro_f1", "ece_most", "answered", "valid_json", "company_macro_f1", "grounded")

Floors = dict[str, dict[str, float]]


def _figure(engine: str, name: str, figures: Mapping[str, Any]) -> float:
    key = name.removesuffix(MOST)
    numbers = [each for each, value in figures.items() if isinstance(value, int | float)]
    if key not in numbers:
        near = difflib.get_close_matches(key, numbers, 1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(numbers)}"
        raise DatasetError(f"there is a floor for {engine}.{name}, which this run does not have", cure=hint)
    return float(figures[key])


def read_floors(path: Path, documents: Sequence[LabelledDocument]) -> Floors:
    """The floors of a file; {} when there is none. Raises DatasetError when it is not of that form, for other documents, or for
    other labels of these.
    """
    digest, labels = content_digest(documents), labels_digest(documents)
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        known, said = read.pop(DIGEST, digest), read.pop(LABELS, labels)
        floors = {
            str(engine): {str(name): float(value) for name, value in each.items()} for engine, each in read.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DatasetError(f"the floors in {path} cannot be read: {error!r}", cure="restore the file") from None
    if known != digest:
        raise DatasetError(
            f"the floors in {path} are for other documents (sha256 {known[:12]}…, these are {digest[:12]}…)",
            cure="evaluate those, or keep floors of these in another file",
        )
    if said != labels:
        raise DatasetError(
            f"the labels of these documents are others than when the floors in {path} were made",
            cure="evaluate them with the labels of then, or begin floors anew in another file with --raise-floors",
        )
    return floors


def check_engines(floors: Floors, engines: Collection[str]) -> None:
    """Raises DatasetError for floors of an engine that is not measured; asked before a run, which may take hours."""
    for engine in floors:
        if engine not in engines:
            raise DatasetError(f"there are floors for {engine}, which is not measured", cure="add it to --engine")


def misses(
    floors: Floors, engines: Mapping[str, Mapping[str, Any]], left_out: Mapping[str, str] | None = None
) -> list[str]:
    """A line for each figure on the wrong side of its floor, and for each engine with floors that was left out, with the reason.

    Raises DatasetError for floors of what was not measured.
    """
    reasons = left_out or {}
    check_engines(floors, {*engines, *reasons})
    found = [f"{engine} was not measured, because {reasons[engine]}" for engine in floors if engine in reasons]
    for engine, named in floors.items():
        for name, floor in named.items() if engine in engines else ():
            figure = _figure(engine, name, engines[engine])
            if figure > floor if name.endswith(MOST) else figure < floor:
                side = "above the most that is allowed," if name.endswith(MOST) else "below its floor"
                found.append(f"{engine} {name.removesuffix(MOST)} {figure:g} is {side} {floor:g}")
    return found


def raised(floors: Floors, engines: Mapping[str, Mapping[str, Any]]) -> Floors:
    """The floors moved to this run's figures where those are better, never back; of an engine without any, FIRST."""
    result: Floors = {}
    for engine in [*floors, *(name for name in engines if name not in floors)]:
        figures = engines.get(engine)
        if figures is None:
            result[engine] = dict(floors[engine])
            continue
        known = floors.get(engine) or {}
        names = list(known) or [name for name in FIRST if name.removesuffix(MOST) in figures]
        result[engine] = {}
        for name in names:
            figure = _figure(engine, name, figures)
            better = min if name.endswith(MOST) else max
            result[engine][name] = better(figure, known.get(name, figure))
    return result


def write_floors(path: Path, floors: Floors, documents: Sequence[LabelledDocument]) -> None:
    """Write the file with the digests of the documents and labels that they are for."""
    digests = {DIGEST: content_digest(documents), LABELS: labels_digest(documents)}
    path.write_text(json.dumps({**digests, **floors}, indent=1) + "\n", encoding="utf-8")
