"""`yuqing llm dataset` and `train`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from yuqing import telemetry
from yuqing.settings import get_settings


def dataset(
    out: Annotated[Path, typer.Argument(help="JSON-lines file to write.")],
    full: Annotated[int, typer.Option(help="Samples with the whole answer.")] = 90,
    labels: Annotated[int, typer.Option(help="Samples with the sentiment only.")] = 900,
    seed: Annotated[int, typer.Option(help="Seed of the choice.")] = 7,
) -> None:
    """Build a training set from INEWS: human sentiment labels, weak labels for the rest."""
    from llm.dataset import inews_training_set, write_samples

    samples = inews_training_set(full=full, labels=labels, seed=seed)
    typer.echo(f"{len(samples)} samples, sha256 {write_samples(samples, out)}")


def train(
    samples: Annotated[Path, typer.Argument(help="JSON lines of `yuqing llm dataset`.")],
    out: Annotated[Path, typer.Argument(help="Folder of the adapter; holds the checkpoint too.")],
    dev: Annotated[int, typer.Option(help="Documents of INEWS's dev split to evaluate on at the end.")] = 150,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps; again to go on.")] = None,
) -> None:
    """Train a LoRA adapter on the settings' base model; goes on from its checkpoint when it was stopped."""
    from llm.adapters import file_digest, write_card
    from llm.analysis.prompts import PROMPT_VERSION
    from llm.dataset import dev_samples, read_samples
    from llm.merge import base_path, base_sha256
    from llm.training.run import train as run
    from llm.training.samples import TrainConfig

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    run(base_path(settings), read_samples(samples), dev_samples(dev), out, TrainConfig(), max_steps=max_steps)
    data = {"name": samples.name, "sha256": file_digest(samples)}
    card = write_card(out, settings.llm.base, base_sha256(settings), PROMPT_VERSION, data)
    typer.echo(json.dumps(card["metrics"]))
