"""The commands of the cleaning stage."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from yuqing.settings import get_settings

app = typer.Typer()

_JSONL = Annotated[str, typer.Option("--jsonl", help="'-': read JSON lines from standard input")]


@app.command("clean")
def clean(
    as_json: Annotated[bool, typer.Option("--json", help="print the counts as one JSON object")] = False,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            "--replay",
            metavar="KEY",
            help="clean quarantined records again instead: a key or a prefix under quarantine/cleaning/; may be repeated",
        ),
    ] = None,
) -> None:
    """Turn the raw batches that are pending into articles, then exit."""
    from cleaning.job import clean_pending, clean_quarantine
    from yuqing.telemetry import configure, progress

    configure(stage="cleaning")
    with ending_spark():
        with progress() as bar:
            task = bar.add_task("clean", total=None)

            def before(pending: int) -> None:
                bar.update(task, total=pending)

            def after(done: int) -> None:
                bar.advance(task, done)

            if replay:
                summary = clean_quarantine(get_settings(), replay, before=before, after=after, cleaned=_stop_spark)
            else:
                summary = clean_pending(get_settings(), before=before, after=after, cleaned=_stop_spark)
        if as_json:
            typer.echo(json.dumps(vars(summary)))
        else:
            typer.echo("  ".join(f"{name.replace('_', ' ')} {value}" for name, value in vars(summary).items()))
        sys.stdout.flush()


def _stop_spark() -> None:
    from cleaning.spark import stop_session

    stop_session()


@contextmanager
def ending_spark() -> Iterator[None]:
    """Ends the process's Spark session, where there is one, after the block."""
    succeeded = False
    try:
        yield
        succeeded = True
    finally:
        if "pyspark" in sys.modules:  # most runs are too small for Spark
            from cleaning.spark import end_session

            end_session(keep_classes=succeeded)


def _only_standard_input(jsonl: str) -> None:
    if jsonl != "-":
        raise typer.BadParameter("only '-' (standard input) is read", param_hint="--jsonl")


@app.command("extract")
def extract(jsonl: _JSONL) -> None:
    """Pages to articles: {"id", "path" or "html", "fetched_at"?} a line -> {"id", "title", "text", "published_at", ...}."""
    from yuqing.jsonlines import answer_lines

    _only_standard_input(jsonl)
    sys.exit(answer_lines(extract_line))


def extract_line(record: dict[str, Any]) -> dict[str, Any]:
    """The answer to one line of `yuqing extract`. Raises ValueError for a line without a readable page."""
    from cleaning import extract, metadata
    from cleaning.article import one_line, without_title
    from cleaning.decode import decode, repair
    from cleaning.images import base_address, references
    from cleaning.language import language
    from cleaning.published import CHINA
    from yuqing.text.mask import mask
    from yuqing.text.normalise import normalise

    if isinstance(record.get("html"), str):
        html = record["html"]
    elif isinstance(record.get("path"), str):
        try:
            html, _ = decode(Path(record["path"]).read_bytes())
        except OSError as error:
            raise ValueError(f"{record['path']} cannot be read: {error.strerror}") from None
    else:
        raise ValueError('the object needs "html" or "path", a string')
    html = repair(html)
    if not html.strip():
        raise ValueError("the page is empty")
    page = extract.read(html)
    found = metadata.read(page, fetched_at=_fetched_at(record))
    title = one_line(found.title)
    text = without_title(normalise(extract.main_text(page, html)).text, title)
    local = found.published_at.astimezone(CHINA).isoformat() if found.published_at else None
    return {
        "title": mask(title).text,
        "text": mask(text).text,
        "published_at": local,
        "author": mask(one_line(found.author or "")).text or None,
        "source": one_line(found.source or "") or None,
        "language": language(text),
        "images": [
            {"url": image.url, "alt": mask(one_line(image.alt)).text}
            for image in references(
                extract.article_pictures(page), base_address(page.tree, str(record.get("url") or ""))
            )
        ],
    }


def _fetched_at(record: dict[str, Any]) -> datetime | None:
    """When the page was fetched (RFC 3339), which relative times refer to."""
    stated = record.get("fetched_at")
    if stated is None:
        return None
    fetched_at = datetime.fromisoformat(stated) if isinstance(stated, str) else None
    if fetched_at is None or fetched_at.tzinfo is None:
        raise ValueError('"fetched_at" has to be a time with a zone, as in 2024-05-20T10:00:00+08:00')
    return fetched_at


@app.command("dedup")
def dedup(jsonl: _JSONL) -> None:
    """{"id", "text"} a line -> {"id", "group"}: the id of the first document of its reprint group."""
    from cleaning.duplicates import Known, Neighbours, bands, best_earlier, signature
    from yuqing.jsonlines import answer_lines
    from yuqing.text.normalise import normalise

    _only_standard_input(jsonl)
    settings = get_settings().cleaning
    neighbours = Neighbours(settings.duplicate_candidates)
    groups: dict[str, Any] = {}

    def handle(record: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(record["text"], str):
            raise ValueError('"text" has to be a string')
        minhash = signature(normalise(record["text"]).text)
        keys = bands(minhash)
        found = best_earlier(minhash, neighbours.candidates(keys), settings.duplicate_threshold)
        key = str(len(groups))
        groups[key] = groups[found[0].key] if found else record["id"]
        neighbours.add(Known(key, (len(groups),), minhash), keys)
        return {"group": groups[key]}

    sys.exit(answer_lines(handle))
