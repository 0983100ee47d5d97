"""`yuqing llm train`."""

import json
import os
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from llm.training.config import RunConfig, cpu_refusal
from llm.training.samples import TrainConfig, TrainingError
from yuqing import telemetry
from yuqing.settings import Settings, get_settings


def train(
    config: Annotated[Path, typer.Argument(help="YAML file of the run, as examples/training/*.yaml.")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Put over the file; several times.")
    ] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps; again to go on.")] = None,
) -> None:
    """Fine-tune an adapter; goes on from its checkpoint when it was stopped. Prints what the validation says of it."""
    from llm.training.config import read_config

    run = read_config(config, tuple(changes or ()))
    settings = get_settings()
    if run.base is not None:
        settings = settings.model_copy(update={"llm": settings.llm.model_copy(update={"base": run.base})})
    telemetry.configure(settings.telemetry, stage="llm")
    card = _train(run, settings, max_steps)
    if card is not None:
        typer.echo(json.dumps({"adapter": str(run.out), **card["metrics"]}))


def _train(run: RunConfig, settings: Settings, max_steps: int | None) -> dict[str, Any] | None:
    """Train and write the adapter's card; None for the processes that do not lead."""
    if find_spec("torch") is None or find_spec("peft") is None:
        raise TrainingError("training needs torch and peft", cure="pip install 'yuqing[train]'")
    from llm.adapters import write_card
    from llm.analysis.prompts import PROMPT_VERSION
    from llm.merge import base_path, base_sha256
    from llm.training.data import hashes_of, load
    from llm.training.methods import check_hardware

    # transformers 6 is to call it activation checkpointing, 5 takes the old name; nothing that whoever trains could change.
    warnings.filterwarnings("ignore", ".*gradient_checkpointing", FutureWarning)
    check_hardware(run)
    if run.base is not None and "/" in run.base:
        from llm.training.base import check_base

        check_base(Path(run.base))
    digest = base_sha256(settings)  # before hours of training: a base without one can have no card
    samples, dev = load(run)
    own = all(sample.sentiment for sample in [*samples, *dev])
    run.out.mkdir(parents=True, exist_ok=True)
    if _engine(run, own) == "cpu":
        from llm.training.run import train as on_cores

        plain = TrainConfig(
            last_layers=run.last_layers or 10_000, rank=run.rank, alpha=run.alpha, learning_rate=run.learning_rate,
            warmup=run.warmup, epochs=run.epochs, batch_size=run.batch_size * run.accumulation, max_tokens=run.cutoff,
            label_weight=run.label_weight, company_label_weight=run.company_label_weight, seed=run.seed,
            checkpoint_every=run.checkpoint_every, workers=run.workers, start=str(run.start) if run.start else None,
            targets=run.targets, scheduler=run.scheduler, max_gradient_norm=run.max_gradient_norm,
            patience=run.patience, bf16=run.bf16,
        )  # fmt: skip
        on_cores(
            base_path(settings), samples, dev, run.out, plain, states=run.states, max_steps=max_steps,
            tensorboard=run.tensorboard,
        )  # fmt: skip
    else:
        from llm.training.trainer import train as by_trainer

        by_trainer(base_path(settings), samples, dev, run, max_steps=max_steps)
    if os.environ.get("RANK", "0") != "0":
        return None
    files = hashes_of(run)
    data = {"name": ", ".join(Path(path).name for path in files), "files": files}
    base = Path(settings.llm.base).name
    return write_card(run.out, base, digest, PROMPT_VERSION, data, labels_of(run, own))


def labels_of(run: RunConfig, own: bool) -> dict[str, str] | None:
    """Who labelled what, by the reports of `yuqing llm dataset` beside the data; None where there are none (INEWS)."""
    if not own:
        return {"answers": "as they stand in the files"}
    sources: list[str] = []
    for path in run.data:
        report = path.with_name("report.json")
        if report.is_file():
            sources += [Path(each).name for each in json.loads(report.read_text(encoding="utf-8")).get("sources", ())]
    if not sources:
        return None
    weak = "weak labels: rules (llm/weak_labels.py)"
    names = ", ".join(dict.fromkeys(sources))
    return {"sentiment": names, "companies": f"{names}; where nobody labelled them {weak}", "category": weak,
            "summary": weak, "keywords": weak}  # fmt: skip


def _engine(run: RunConfig, own: bool) -> str:
    """The engine of the run. `own`: all samples are of the product's own form. Raises TrainingError for cpu where it cannot."""
    import torch

    refusal = cpu_refusal(run) or (None if own else "alpaca or sharegpt samples")
    if run.engine == "cpu" and refusal:
        raise TrainingError(
            f"the cpu engine does not do {refusal}", cure="engine: accelerate, which runs on a CPU, too"
        )
    if run.engine == "auto":
        several = torch.cuda.is_available() or "WORLD_SIZE" in os.environ
        return "accelerate" if several or refusal else "cpu"
    return run.engine
