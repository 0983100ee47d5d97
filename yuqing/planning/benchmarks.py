"""Figures of one's own machines: from the lines that `make bench` prints."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from yuqing.planning.figures import Figure, Figures, FiguresError, shipped

Line = dict[str, Any]

# Which figure is read from which benchmark's line, and how. A line with `gpus` was measured with the model on GPUs.
_READ: dict[str, tuple[str, Callable[[Line], float]]] = {
    "crawl_pages_cpu_s": ("crawl", lambda line: line["pages_per_cpu_s"]),
    "crawler_mib": ("crawl", lambda line: line["peak_mib"]),
    "browser_pages_core_s": ("browser", lambda line: line["pages_per_s"] / line["cores"]),
    "clean_documents_cpu_s": ("clean", lambda line: line["documents_per_cpu_s"]),
    "merge_s": ("clean", lambda line: line["cpu_s"]["postgres"] / line["documents"]),
    "spark_mib": ("clean", lambda line: line["peak_mib"]),
    "seen_bytes": ("seen_urls", lambda line: line["bytes_per_url_disk"]),
    "triage_documents_cpu_s": ("triage", lambda line: line["documents_per_cpu_s"]),
}
_ON_CORES: dict[str, tuple[str, Callable[[Line], float]]] = {
    "speech_core_hours": ("asr", lambda line: line["rtf"] * line["cores"]),
    "llm_calls_core_s": ("analyze", lambda line: line["documents_per_s"] / line["cores"]),
}
_ON_GPUS: dict[str, tuple[str, Callable[[Line], float]]] = {
    "speech_gpu_hours": ("asr", lambda line: line["rtf"]),  # the benchmark listens on one
    "llm_calls_gpu_s": ("analyze", lambda line: line["documents_per_s"] / line["gpus"]),
}


def from_lines(content: str, name: str) -> Figures:
    """The figures of a file of JSON lines, each with `benchmark` and `cores`; others are passed over.

    Of two lines of a benchmark the later one counts. Raises FiguresError (with the file's name) for a line that is cut off,
    lacks a figure that its benchmark prints, or holds one that is not above zero, and for a file without any.
    """
    found: dict[str, Figure] = {}
    machine = ""
    for number, text in enumerate(content.splitlines(), 1):
        if not text.startswith("{"):  # what the set-up says before it
            continue
        where = f"{name}, line {number}"
        try:
            line = json.loads(text)
            benchmark, gpus = str(line["benchmark"]), int(line.get("gpus", 0))
            machine = f"{int(line['cores'])} cores, {gpus or 'no'} GPU{'s' if gpus > 1 else ''}"
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FiguresError(
                f"{where} is not one of a benchmark: {error!r}", cure="take what `make bench` prints"
            ) from None
        for figure, (source, read) in (_READ | (_ON_GPUS if gpus else _ON_CORES)).items():
            if source == benchmark:
                found[figure] = _figure(figure, line, read, where)
    if not found:
        raise FiguresError(f"{name} holds no figure of the plan", cure="take what `make bench` prints")
    return Figures(machine=machine, figures=found)


def _figure(figure: str, line: Line, read: Callable[[Line], float], where: str) -> Figure:
    try:
        value = float(read(line))
    except (KeyError, TypeError, ZeroDivisionError, ValueError) as error:
        raise FiguresError(f"{where}: {figure} cannot be read: {error!r}", cure="run the benchmark again") from None
    if not 0 < value < float("inf"):
        raise FiguresError(f"{where}: {figure} is {value:g}, which cannot be", cure="run the benchmark again")
    command, today = f"benchmarks/{line['benchmark']}.py", datetime.now(UTC).date().isoformat()
    return Figure(value=value, unit=shipped().figures[figure].unit, command=command, date=today)
