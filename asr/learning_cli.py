"""`yuqing asr evaluate|train`."""

import json
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from yuqing import telemetry
from yuqing.settings import get_settings

app = typer.Typer(help="Speech recognition: evaluate, train.", no_args_is_help=True)


@app.command("evaluate")
def evaluate(
    manifest: Annotated[
        Path,
        typer.Argument(
            help="JSON lines, a TSV of Common Voice, or a folder: AISHELL-1, WenetSpeech, sounds with .txt."
        ),
    ],
    part: Annotated[str | None, typer.Option(help="Of AISHELL-1: train, dev, test; of WenetSpeech: a subset.")] = None,
    conditions: Annotated[
        str, typer.Option(help="Conditions to make of each recording: clean,noise,music,telephone,telephone-noise.")
    ] = "",
    names: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="File of watched names, one a line, which the worker would have."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first recordings only.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON-lines file for each recording's texts and errors.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Character and word error rates, names and speed of the settings' model and options, by condition."""
    from asr.evaluate import as_json as figures
    from asr.evaluate import recognise, table
    from asr.manifests import read_manifest
    from asr.transcriber import Transcriber

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="asr")
    logging.getLogger("faster_whisper").setLevel(logging.WARNING)
    utterances = read_manifest(manifest, part)[:limit]
    chosen = [name for name in conditions.split(",") if name]
    watched = names.read_text(encoding="utf-8").split() if names else []
    transcriber = Transcriber(settings)
    transcriber.load()
    heard = []
    with telemetry.progress() as bar:
        task = bar.add_task("recordings", total=len(utterances) * max(1, len(chosen)))
        for item in recognise(utterances, lambda path: transcriber.transcribe(path, names=watched).text, chosen):
            heard.append(item)
            bar.advance(task)
    if output is not None:
        lines = (json.dumps(asdict(item), ensure_ascii=False) + "\n" for item in heard)
        output.write_text("".join(lines), encoding="utf-8")
    rows = table(heard)
    if as_json:
        typer.echo(json.dumps(figures(rows, transcriber.options.model), ensure_ascii=False))
    else:
        _show([row.as_json() for row in rows])


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    shown = Table(
        "condition", "recordings", "seconds", "CER", "WER", "substituted", "left out", "added", "names right", "RTF"
    )
    for row in rows:
        errors = row["characters"]
        shown.add_row(
            row["condition"],
            str(row["utterances"]),
            f"{row['audio_s']:.0f}",
            *(_percent(row[name]) for name in ("cer", "wer")),
            *(str(errors[kind]) for kind in ("substitutions", "deletions", "insertions")),
            _percent(row["names_right"]),
            "-" if row["rtf"] is None else f"{row['rtf']:.3f}",
        )
    Console().print(shown)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


@app.command("train")
def train(
    config: Annotated[Path, typer.Argument(help="YAML file: train, validation, out and what docs/asr.md lists.")],
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps; again to go on.")] = None,
) -> None:
    """Fine-tune Whisper with LoRA; goes on from its checkpoint. Prints the folder of the model for YUQING_ASR__MODEL."""
    from asr.train import train as run
    from asr.training_config import read_config

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="asr")
    chosen = read_config(config)
    card = run(chosen, settings, max_steps=max_steps)
    rates = card["validation_cer"]
    typer.echo(f"validation CER {rates[0]:.4f} -> {min(rates):.4f} (epoch {card['best_epoch']} of {len(rates) - 1})")
    if card["finished"]:
        typer.echo(chosen.out / card["model"])
