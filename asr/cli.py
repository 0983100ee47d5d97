"""`yuqing transcribe`."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from yuqing import telemetry
from yuqing.errors import YuqingError
from yuqing.settings import Settings, get_settings

app = typer.Typer()


class Format(StrEnum):
    """How a transcript is written; the names are the keys of yuqing.subtitles.FORMATS."""

    json = "json"
    srt = "srt"
    vtt = "vtt"
    txt = "txt"


class WrongUse(YuqingError):
    """Options that exclude each other."""


@app.command("transcribe")
def transcribe(
    files: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Audio or video files.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How to write a file's transcript.")] = Format.txt,
    output: Annotated[
        Path | None,
        typer.Option(help="Folder for FILE's transcripts, each named after its file; else standard output."),
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="A name to expect in the files; for the queue these are the watchlist's.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Stay, and transcribe what comes.")] = False,
    replay: Annotated[
        list[str] | None,
        typer.Option(
            "--replay",
            metavar="KEY",
            help="Queue recordings again that were given up: a key or a prefix under quarantine/asr/; may be repeated.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object.")] = False,
) -> None:
    """Transcribe the recordings that wait in the queue and write them back under raw/; or the files that are named.

    Exit status 1: a file could not be transcribed; the others were.
    """
    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="asr")
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)  # it tells each window's length
    if not files:
        _work_queue(settings, replay or [], follow=follow, as_json=as_json)
        return
    if follow or replay:
        option = "--follow" if follow else "--replay"
        raise WrongUse(f"{option} is for the queue and takes no files", cure="leave one of them out")
    if len(files) > 1 and output is None and form in (Format.srt, Format.vtt):
        raise WrongUse(
            f"{form} of {len(files)} files on standard output would be no {form}", cure="give --output FOLDER"
        )
    if _transcribe_files(files, form, output, name or [], settings):
        raise typer.Exit(1)


@contextmanager
def _audio_progress() -> Iterator[Callable[[str, float, float | None], None]]:
    """One bar, for one recording after the other, in seconds of audio: call with name, seconds done and seconds in all."""
    with telemetry.progress() as bar:
        task = bar.add_task("waiting", total=None)
        shown = ""

        def show(name: str, done: float, total: float | None) -> None:
            nonlocal shown
            if name != shown:
                shown = name
                bar.reset(task, description=f"{name}, seconds of audio", total=None)
            bar.update(task, completed=round(done), total=None if total is None else round(total))

        yield show


def _work_queue(settings: Settings, again: list[str], *, follow: bool, as_json: bool) -> None:
    from asr.replay import replay
    from asr.worker import Worker, work  # brings NumPy and PyAV

    worker = Worker.from_settings(settings)
    if again:
        queued = replay(worker.pool, worker.store, again)
        typer.echo(f"{queued} recordings queued again", err=True)
    if follow:
        telemetry.serve_metrics(settings.telemetry.metrics_port)
    with _audio_progress() as show:
        worker.on_progress = lambda recording, seconds, of: show(recording.sha256[:12], seconds, of)
        counts = asyncio.run(work(worker, follow=follow))
    if as_json:
        typer.echo(json.dumps({"transcribed": counts.succeeded, "failed": counts.failed}))
        return
    from rich.console import Console

    failed = f", [red]{counts.failed} failed[/red] (see quarantine/asr/)" if counts.failed else ""
    Console().print(f"{counts.succeeded} recordings transcribed{failed}")


def _transcribe_files(
    files: list[Path], form: Format, output: Path | None, names: list[str], settings: Settings
) -> int:
    """Write each file's transcript; returns how many failed, each with its reason on standard error."""
    from asr.audio import AudioError, claimed_duration
    from asr.transcriber import Transcriber
    from yuqing.subtitles import FORMATS

    transcriber = Transcriber(settings)
    failed = 0
    with _audio_progress() as show:
        for path in files:
            try:
                total = claimed_duration(path)
                transcript = transcriber.transcribe(
                    path,
                    lambda seconds, name=path.name, total=total: show(name, seconds, total),  # type: ignore[misc]
                    names=names,
                )
            except AudioError as error:
                failed += 1
                typer.echo(f"yuqing: {error.message}", err=True)
                continue
            written = FORMATS[form](transcript)
            if output is not None:
                output.mkdir(parents=True, exist_ok=True)
                (output / f"{path.stem}.{form}").write_text(written, encoding="utf-8")
            else:
                typer.echo(written, nl=False)
    return failed
