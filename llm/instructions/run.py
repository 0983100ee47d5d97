"""A training set as a folder: samples a split, the held-out documents for `yuqing llm evaluate`, and a report.

train.jsonl dev.jsonl test.jsonl            samples (llm.dataset.Sample)
dev.documents.jsonl test.documents.jsonl    labelled documents
dropped.jsonl                               what was not used, and why
report.json report.md                       counts, balance, lengths, warnings, hashes
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llm import inews
from llm.dataset import jieba_keywords, write_samples
from llm.evaluation.documents import LabelledDocument
from llm.inews import DatasetError
from llm.instructions.build import samples_of
from llm.instructions.checks import check_labels, described, split, warnings_of, without_duplicates
from llm.instructions.sources import CORRECTIONS, INEWS, SPLITS, Dropped, Found, from_corrections, read_file
from yuqing.contracts import SENTIMENTS
from yuqing.settings import Settings

# More broken records than this share mean a wrong file rather than a few wrong lines.
TOLERATED = 0.05


def _inews() -> Found:
    return [
        LabelledDocument(item.title, item.text, item.sentiment, f"inews-{name}-{place}", name)
        for name in SPLITS
        for place, item in enumerate(inews.load(name))  # type: ignore[arg-type]
    ], []


def _corrections(settings: Settings, team: str | None) -> Found:
    from llm.instructions.corrections import read_corrections
    from yuqing.database.session import engine

    pool = engine(settings)
    try:
        return from_corrections(read_corrections(pool, team))
    finally:
        pool.dispose()


def gather(sources: Sequence[str], settings: Settings, team: str | None, tolerated: float = TOLERATED) -> Found:
    """The documents of all sources (files, `inews`, `corrections`), and what could not be read.

    Raises DatasetError naming the first broken record when more than the tolerated share of a source are.
    """
    kept: list[LabelledDocument] = []
    dropped: list[Dropped] = []
    for source in sources:
        if source == INEWS:
            found, broken = _inews()
        elif source == CORRECTIONS:
            found, broken = _corrections(settings, team)
        else:
            found, broken = read_file(Path(source))
        if len(broken) > tolerated * (len(found) + len(broken)):
            raise DatasetError(
                f"{len(broken)} of {len(found) + len(broken)} records of {source} cannot be used; "
                f"{broken[0].where}: {broken[0].reason}",
                cure="mend the file, or let them be dropped with --tolerate",
            )
        if not found:
            raise DatasetError(f"{source} holds no labelled documents")
        kept += found
        dropped += broken
    return kept, dropped


def _document_line(document: LabelledDocument) -> dict[str, Any]:
    companies = [
        {
            "name": each.company.name,
            "aliases": list(each.company.aliases),
            "sentiment": each.sentiment,
            "evidence": [{"quote": document.text[start:end], "start": start} for start, end in each.evidence],
        }
        | ({"risk": each.risk, "types": list(each.types)} if each.risk is not None else {})
        for each in document.companies
    ]
    plain = {"id": document.id, "title": document.title, "text": document.text, "sentiment": document.sentiment}
    return plain | ({"companies": companies} if companies else {})


def _write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def make(
    sources: Sequence[str],
    folder: Path,
    settings: Settings,
    *,
    shares: Mapping[str, float],
    whole: float,
    seed: int,
    tolerated: float = TOLERATED,
    team: str | None = None,
) -> dict[str, Any]:
    """Write the training set and return its report. Raises DatasetError; then nothing but dropped.jsonl was written."""
    found, dropped = gather(sources, settings, team, tolerated)
    documents, copies = without_duplicates(found)
    dropped += copies
    folder.mkdir(parents=True, exist_ok=True)
    _write_lines(folder / "dropped.jsonl", [vars(each) for each in dropped])
    splits = split(documents, shares, seed)
    check_labels(splits)
    hashes = {}
    for name, chosen in splits.items():
        for path in (folder / f"{name}.jsonl", folder / f"{name}.documents.jsonl"):
            path.unlink(missing_ok=True)  # of an earlier set with other splits
        if not chosen:
            continue
        # Held-out documents without labelled companies are asked for their sentiment alone, as training measures it.
        share = whole if name == "train" else 0.0
        samples = samples_of(chosen, whole=share, seed=seed, extract=jieba_keywords)
        hashes[name] = write_samples(samples, folder / f"{name}.jsonl")
        if name != "train":
            _write_lines(folder / f"{name}.documents.jsonl", [_document_line(each) for each in chosen])
    report = {
        "sources": list(sources),
        "seed": seed,
        "read": len(found) + len(dropped) - len(copies),
        "dropped": len(dropped),
        "reasons": dict(Counter(_kind(each.reason) for each in dropped).most_common()),
        "splits": {name: described(chosen) for name, chosen in splits.items()},
        "warnings": warnings_of(splits),
        "sha256": hashes,
    }
    (folder / "report.json").write_text(json.dumps(report, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(_markdown(report, dropped), encoding="utf-8")
    return report


def _kind(reason: str) -> str:
    """The reason without what is particular to one record."""
    if reason.startswith("the text of "):
        kinds = [kind for kind in ("a leak", "another label") if kind in reason]
        return "duplicate" + (f" ({' and '.join(kinds)})" if kinds else "")
    return reason.split(":", 1)[0] if reason.startswith("not a") else reason


def _markdown(report: Mapping[str, Any], dropped: Sequence[Dropped]) -> str:
    lines = [f"# Training set of {', '.join(report['sources'])}", ""]
    lines += [f"{report['read']} records read, {report['dropped']} dropped, seed {report['seed']}.", ""]
    lines += [f"**Note:** {warning}." for warning in report["warnings"]] + [""]
    lines += [f"| split | documents | {' | '.join(SENTIMENTS)} | companies | characters: median, 95 %, most | cut |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for name, found in report["splits"].items():
        lengths = ", ".join(f"{value:,}" for value in found.get("characters", {}).values())
        labels = " | ".join(str(found["labels"][label]) for label in SENTIMENTS)
        cut = f"{found.get('cut', 0):.0%}"
        lines += [f"| {name} | {found['documents']} | {labels} | {found['companies']} | {lengths} | {cut} |"]
    lines += ["", "`cut`: the share whose text is longer than a prompt holds.", ""]
    if dropped:
        lines += ["| dropped because | records |", "|---|---|"]
        lines += [f"| {reason} | {count} |" for reason, count in report["reasons"].items()]
        lines += ["", "The first of them (all in dropped.jsonl):", ""]
        lines += [f"- {each.where}: {each.reason}" for each in dropped[:20]]
    return "\n".join(lines) + "\n"
