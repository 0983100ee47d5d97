"""The evaluation of a run: engines measured, compared, and written as report.json, report.md and pictures."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llm.evaluation.documents import LabelledDocument, content_digest, labels_digest
from llm.evaluation.figures import Read, engine_figures, paired
from yuqing.contracts import SENTIMENTS

# Columns of the report's table, with their heading.
_ROWS = {
    "documents": "documents",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "ece": "expected calibration error",
    "answered": "documents with a usable answer",
    "valid_json": "answers that keep to the form",
    "companies": "companies",
    "company_accuracy": "companies: accuracy",
    "company_macro_f1": "companies: macro-F1",
    "company_ece": "companies: expected calibration error",
    "grounded": "companies with a quote",
    "evidence_companies": "companies with a quote in the labelled lines",
    "evidence_quotes": "quotes in the labelled lines",
    "documents_per_s": "documents a second",
}


@dataclass(frozen=True)
class Evaluation:
    """What was measured: engines by name, and why an engine that was asked for is not among them."""

    name: str
    documents: Sequence[LabelledDocument]
    engines: Mapping[str, Read]
    left_out: Mapping[str, str]
    about: Mapping[str, Any]


def figures_of(found: Evaluation) -> dict[str, Any]:
    """The report as plain values. The first engine of a comparison is the new one: differences are its less the other's."""
    names = list(found.engines)
    pairs = [(new, old) for place, new in enumerate(names) for old in names[:place]]
    return {
        "data": {
            "name": found.name,
            "sha256": content_digest(found.documents),
            "labels_sha256": labels_digest(found.documents),
            "documents": len(found.documents),
            "labels": dict(Counter(each.sentiment for each in found.documents)),
            "companies": sum(len(each.companies) for each in found.documents),
        },
        "answered_by": dict(found.about),
        "engines": {name: engine_figures(found.documents, each) for name, each in found.engines.items()},
        "left_out": dict(found.left_out),
        "comparisons": {
            f"{new} against {old}": paired(found.documents, found.engines[new], found.engines[old])
            for new, old in pairs
        },
    }


def _number(value: float) -> str:
    if isinstance(value, int) or value == int(value) >= 10:
        return f"{int(value):,}"
    return f"{value:.3f}"


def _cell(figures: Mapping[str, Any], name: str) -> str:
    if name not in figures:
        return ""
    bounds = figures.get(f"{name}_interval")
    return _number(figures[name]) + (f" ({_number(bounds[0])}-{_number(bounds[1])})" if bounds else "")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows), ""]


def markdown(report: Mapping[str, Any], misses: Sequence[str] | None, pictures: Sequence[str]) -> str:
    """The report for readers. `misses`: None without floors."""
    data, engines = report["data"], report["engines"]
    labels = ", ".join(f"{data['labels'].get(label, 0)} {label}" for label in SENTIMENTS)
    lines = [f"# Evaluation on {data['name']}", ""]
    lines += [
        f"{data['documents']} documents ({labels}), {data['companies']} companies; sha256 {data['sha256'][:16]}…, of the labels "
        f"{data['labels_sha256'][:16]}…"
    ]
    served = report["answered_by"].get("served")
    if served:
        lines += [
            f"The language model: {served['model']}, adapter {served['adapter'] or 'none'} ({served['engine']}), prompt "
            f"{report['answered_by']['prompt_version']}, at most {report['answered_by']['text_tokens']} tokens of a text."
        ]
        if report["answered_by"]["whole"] and "ensemble" in engines:
            lines += ["The ensemble's weights were fitted on answers to the question for the sentiment alone."]
        if "companies" in engines.get("llm", {}) and report["answered_by"]["prompt_version"].endswith("-rules"):
            lines += [
                "Companies are judged by words and triage (llm.company_clauses: rules), whichever engine reads the document."
            ]
    lines += ["In brackets what holds 95 % of the bootstrap samples.", ""]
    if misses is not None:
        lines += [f"**Below its floor:** {miss}" for miss in misses] or ["All floors are kept."]
        lines += [""]
    rows = [
        [heading, *(_cell(each, name) for each in engines.values())]
        for name, heading in _ROWS.items()
        if any(name in each for each in engines.values())
    ]
    lines += _table(["", *engines], rows)
    for name, why in report["left_out"].items():
        lines += [f"Not measured: {name}, because {why}.", ""]
    lines += ["## Labels", ""]
    lines += _table(
        ["engine", "label", "documents", "precision", "recall", "F1"],
        [
            [name, label, *(_number(found[key]) for key in ("documents", "precision", "recall", "f1"))]
            for name, each in engines.items()
            for label, found in each["labels"].items()
        ],
    )
    if report["comparisons"]:
        lines += ["## Compared on the same documents", ""]
        lines += _table(
            ["", "documents", "accuracy", "difference, 95 %", "macro-F1 difference, 95 %", "McNemar's p"],
            [
                [
                    name,
                    str(found["documents"]),
                    " / ".join(_number(value) for value in found["accuracy"]),
                    " to ".join(f"{bound:+.3f}" for bound in found["accuracy_difference_interval"]),
                    " to ".join(f"{bound:+.3f}" for bound in found["macro_f1_difference_interval"]),
                    f"{found['mcnemar_p']:.4f}",
                ]
                for name, found in report["comparisons"].items()
            ],
        )
    for picture in pictures:
        lines += [f"![{picture.removesuffix('.png')}]({picture})", ""]
    if not pictures:
        lines += ["No pictures: they need matplotlib (`pip install 'yuqing[train]'`).", ""]
    return "\n".join(lines)


def write(found: Evaluation, report: Mapping[str, Any], misses: Sequence[str] | None, folder: Path) -> Path:
    """Write report.json, report.md and, where matplotlib is installed, the pictures; returns the path of report.md."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures: list[str] = []
    if find_spec("matplotlib"):
        from llm.evaluation import plots

        plots.draw_confusion(report["engines"], folder / plots.CONFUSION)
        plots.draw_reliability(found.documents, found.engines, folder / plots.RELIABILITY)
        pictures = [plots.CONFUSION, plots.RELIABILITY]
    full = {**report, "below_floors": misses}
    (folder / "report.json").write_text(json.dumps(full, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    path = folder / "report.md"
    path.write_text(markdown(report, misses, pictures), encoding="utf-8")
    return path
