"""`yuqing llm train`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from llm.training.samples import TrainConfig
from yuqing import telemetry
from yuqing.settings import get_settings


def train(
    samples: Annotated[Path, typer.Argument(help="JSON lines of `yuqing llm dataset`.")],
    out: Annotated[Path, typer.Argument(help="Folder of the adapter; holds the checkpoint too.")],
    dev: Annotated[int, typer.Option(help="Documents of INEWS's dev split to evaluate on after each epoch.")] = 150,
    epochs: Annotated[int, typer.Option(help="Epochs; the best on dev is taken.")] = 1,
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = TrainConfig.learning_rate,
    start: Annotated[Path | None, typer.Option(help="Adapter to begin with.")] = None,
    states: Annotated[
        Path | None, typer.Option(help="Folder that keeps the frozen layers' output for the next run.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(help="Stop after so many steps; again to go on.")] = None,
) -> None:
    """Train a LoRA adapter on the settings' base model; goes on from its checkpoint when it was stopped."""
    from llm.adapters import file_digest, write_card
    from llm.analysis.prompts import PROMPT_VERSION
    from llm.dataset import dev_samples, read_samples
    from llm.merge import base_path, base_sha256
    from llm.training.run import train as run

    settings = get_settings()
    telemetry.configure(settings.telemetry, stage="llm")
    config = TrainConfig(epochs=epochs, learning_rate=rate, start=str(start) if start else None)
    chosen = read_samples(samples)
    run(base_path(settings), chosen, dev_samples(dev), out, config, states=states, max_steps=max_steps)
    data = {"name": samples.name, "sha256": file_digest(samples)}
    card = write_card(out, settings.llm.base, base_sha256(settings), PROMPT_VERSION, data)
    typer.echo(json.dumps(card["metrics"]))
