"""LoRA fine-tuning on samples in the product's answer format.

Five things make it affordable on two cores: the adapter sits on the last layers, so that the backward pass stops there;
what the layers below say of a sample is computed in the first epoch and kept; the output matrix is applied at the answer's
positions only; the instruction, which all samples share, is computed once a batch and its keys and values are shared; and
each core is a process of one thread that takes its part of every batch, because two threads wait for each other at every
matrix when something else wants a core (2.4 times slower when measured).
"""

import hashlib
import json
import math
import multiprocessing
import os
import pickle
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm.adapters import file_digest
from llm.dataset import Sample
from llm.training.base import load_base
from llm.training.frozen import FrozenLayers, FrozenStates
from llm.training.methods import begin_with, save_adapter
from llm.training.progress import Progress
from llm.training.samples import Encoded, TrainConfig, TrainingError, encode, make_batches
from llm.training.scoring import batch_loss, hidden_states, label_rows, numbers, read_labels, summary_of
from yuqing.telemetry import get_logger

log = get_logger(__name__)


def scale(step: int, steps: int, warmup: float, scheduler: str) -> float:
    """Share of the highest learning rate at a step: linear warm-up over `warmup` of the steps, then constant, or linear or a
    cosine down to a tenth.
    """
    warm = max(1, round(warmup * steps))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    left = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[scheduler]
    return 0.1 + 0.9 * left


def rate(step: int, steps: int, config: TrainConfig) -> float:
    """Learning rate of a step."""
    return config.learning_rate * scale(step, steps, config.warmup, config.scheduler)


def with_adapter(model: Any, config: TrainConfig) -> Any:
    """The model with a LoRA adapter on its last layers (a PeftModel): a fresh one, or that of `config.start`.

    Raises TrainingError when the adapter to begin with is not of the rank, the layers and the matrices of the run.
    """
    from peft import LoraConfig, get_peft_model

    layers = model.config.num_hidden_layers
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=0.0,
        target_modules=list(config.targets),
        layers_to_transform=list(range(max(0, layers - config.last_layers), layers)),
        task_type="CAUSAL_LM",
    )
    wrapped = get_peft_model(model, lora)
    if config.start:
        begin_with(wrapped, Path(config.start))
    return wrapped


def _save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    import torch

    temporary = path.with_suffix(".part")
    try:
        torch.save(state, temporary)
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch tells of a full disk by a RuntimeError
        temporary.unlink(missing_ok=True)
        raise TrainingError(
            f"the checkpoint {path} cannot be written: {str(error).splitlines()[0]}",
            cure="make room on the disk and start again: the run goes on from the checkpoint before",
        ) from error


def _read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's state. Raises TrainingError for a file that is none."""
    import torch

    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise TrainingError(f"{path} is no checkpoint: {error}", cure="remove it: the run begins anew") from None
    return state


@dataclass
class _Kept:
    """Rows of token ids, and what the frozen layers say of them (None: the adapter sits on all layers)."""

    rows: list[list[int]]
    states: FrozenStates | None


@dataclass
class _Run:
    """All that the workers share: made before they fork, so that the frozen weights exist once in memory."""

    config: TrainConfig
    model: Any
    tokenizer: Any
    optimizer: Any
    prefix: list[int]
    items: list[Encoded]
    batches: list[list[int]]
    seen: _Kept
    dev: Sequence[Sample]
    dev_seen: _Kept
    checkpoint: Path
    fingerprint: str
    progress: Progress
    last: int
    step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0
    # Dev's summary after each epoch, and the factors of the best.
    epochs: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] | None = None


class _Reader:
    """Last hidden states of a run's rows, by the model as it is now."""

    def __init__(self, run: _Run) -> None:
        self._model, self._prefix = run.model.get_base_model(), run.prefix
        frozen = max(0, self._model.config.num_hidden_layers - run.config.last_layers)
        with numbers(run.config.bf16):
            self._layers = FrozenLayers(self._model, run.prefix, frozen) if frozen else None

    def __call__(self, kept: _Kept, wanted: Sequence[int]) -> Any:
        if self._layers is None or kept.states is None:
            return hidden_states(self._model, self._prefix, [kept.rows[i] for i in wanted])
        return self._layers.hidden_states(kept.states, kept.rows, wanted)


def _evaluate(run: _Run, rank: int, reader: _Reader) -> dict[str, float]:
    """Dev's summary; each worker reads its part of the rows."""
    import torch

    mine = list(range(len(run.dev)))[rank :: run.config.workers]
    rows = [run.dev_seen.rows[i] for i in mine]
    run.model.eval()
    with numbers(run.config.bf16):
        answers = read_labels(
            run.model.get_base_model(), run.tokenizer, rows,
            lambda chosen: reader(run.dev_seen, [mine[i] for i in chosen]),
        ) if rows else []  # fmt: skip
    run.model.train()
    parts: list[Any] = [answers]
    if run.config.workers > 1:
        parts = [None] * run.config.workers
        torch.distributed.all_gather_object(parts, answers)
    whole: list[dict[str, float]] = [{} for _ in run.dev]
    for number, part in enumerate(parts):
        whole[number :: run.config.workers] = part
    return summary_of(run.dev, whole)


def _best(epochs: Sequence[dict[str, float]]) -> int:
    """The number of the best epoch, the first of equal ones; -1 without any."""
    return max(range(len(epochs)), key=lambda i: (epochs[i]["accuracy"], epochs[i]["macro_f1"], -i), default=-1)


def _stale(run: _Run) -> bool:
    """Whether the last `patience` epochs were no better than one before them."""
    return 0 < run.config.patience <= len(run.epochs) - 1 - _best(run.epochs)


def _sum_over_workers(tensors: Sequence[Any]) -> None:
    """Replace each tensor by its sum over the workers: one message for all."""
    import torch

    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    torch.distributed.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def _work(run: _Run, rank: int, meeting: str) -> None:
    """The training loop of one worker; worker 0 reports and saves."""
    import torch
    from peft import get_peft_model_state_dict

    config = run.config
    # A session of its own: Linux shares the cores out between sessions, so that each worker gets a fair part of one.
    if rank:
        os.setsid()
    torch.set_num_threads(1)
    if config.workers > 1:
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=config.workers)
    trained = [parameter for parameter in run.model.parameters() if parameter.requires_grad]
    plain, steps, first, begin = run.model.get_base_model(), len(run.batches), run.step, time.monotonic()
    reader, each = _Reader(run), steps // config.epochs
    while run.step < run.last and not _stale(run):
        for group in run.optimizer.param_groups:
            group["lr"] = rate(run.step, steps, config)
        batch = run.batches[run.step]
        mine = batch[rank :: config.workers]
        run.optimizer.zero_grad(set_to_none=False)
        total = torch.zeros(1)
        if mine:
            whole = sum(sum(run.items[i].weights) for i in batch)
            with numbers(config.bf16):
                loss = batch_loss(plain, reader(run.seen, mine), [run.items[i] for i in mine], whole)
            loss.backward()
            total += loss.detach()
        if config.workers > 1:
            for parameter in trained:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            _sum_over_workers([total, *(parameter.grad for parameter in trained)])
        torch.nn.utils.clip_grad_norm_(trained, config.max_gradient_norm)
        run.optimizer.step()
        run.step += 1
        run.losses.append(round(total.item(), 4))
        elapsed = time.monotonic() - begin
        if not rank:
            left = elapsed / (run.step - first) * (run.last - run.step)
            rate_now = run.optimizer.param_groups[0]["lr"]
            run.progress.stepped(run.step, run.losses[-1], rate_now, run.seconds + elapsed, left)
        if run.dev and run.step % each == 0:
            if not rank:
                run.progress.validating()
            run.epochs.append(_evaluate(run, rank, reader))
            if _best(run.epochs) == len(run.epochs) - 1:
                run.best = {name: tensor.clone() for name, tensor in get_peft_model_state_dict(run.model).items()}
            if not rank:
                run.progress.validated(run.step, run.epochs[-1])
        if rank:
            continue
        elapsed = time.monotonic() - begin
        if run.step % config.checkpoint_every == 0 or run.step % each == 0 or run.step == run.last:
            state = {"epochs": run.epochs, "best": run.best} | {
                "fingerprint": run.fingerprint,
                "step": run.step,
                "losses": run.losses,
            }
            state |= {"seconds": run.seconds + elapsed, "optimizer": run.optimizer.state_dict()}
            _save_checkpoint(run.checkpoint, state | {"adapter": get_peft_model_state_dict(run.model)})
    run.seconds += time.monotonic() - begin
    if config.workers > 1:
        torch.distributed.destroy_process_group()


def _run_workers(run: _Run) -> None:
    """Fork the other workers, be worker 0, and wait. Raises TrainingError when a worker died."""
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{folder}/meeting"
        context = multiprocessing.get_context("fork")
        others = [context.Process(target=_work, args=(run, rank, meeting)) for rank in range(1, run.config.workers)]
        for other in others:
            other.start()
        try:
            _work(run, 0, meeting)
        except BaseException as error:
            for other in others:
                other.kill()  # they would wait for this one's part of a sum
            if isinstance(error, RuntimeError):
                raise TrainingError(
                    f"a training worker failed: {error}", cure="the run goes on from its checkpoint"
                ) from error
            raise
        finally:
            for other in others:
                other.join(30)
                other.kill()


def _digest(base: Path) -> str:
    """What tells one base from another: the hash of its weights and of its tokenizer."""
    files = sorted([*base.glob("*.safetensors"), *base.glob("tokenizer.*")])
    return hashlib.sha256("".join(file_digest(file) for file in files).encode()).hexdigest()


def _keep(rows: list[list[int]], folder: Path, model: Any, config: TrainConfig, key: str) -> _Kept:
    """The rows with their place for what the frozen layers say; each set of rows has files of its own name."""
    if not rows or config.last_layers >= model.config.num_hidden_layers:
        return _Kept(rows, None)
    digest = hashlib.sha256(json.dumps([key, config.last_layers, rows]).encode()).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"frozen-{digest[:16]}.f16"
    return _Kept(rows, FrozenStates(path, [len(row) for row in rows], model.config.hidden_size, digest))


def train(
    base: Path,
    samples: Sequence[Sample],
    dev: Sequence[Sample],
    out: Path,
    config: TrainConfig,
    *,
    states: Path | None = None,
    max_steps: int | None = None,
    tensorboard: bool = False,
) -> dict[str, Any]:
    """Train an adapter into `out` (PEFT layout, bf16) and return the run card, which is also out/run.json.

    With dev samples the adapter of the epoch with the best accuracy on them is taken, otherwise that of the last step. What
    the frozen layers say of the samples (1.8 kB a token at a width of 896) is kept in `out` until the run is over, or in the
    folder `states` for the next run on the same samples. Killed at any moment and called again with the same arguments the
    run goes on from its last checkpoint and takes the same batches. Raises TrainingError when `out` holds a checkpoint of
    another run, or when a worker dies.
    """
    import torch
    from peft import set_peft_model_state_dict

    torch.set_num_threads(1)  # before the fork: a thread pool does not survive one
    torch.manual_seed(config.seed)
    model, tokenizer = load_base(base, dtype=torch.bfloat16 if config.bf16 else torch.float32)
    prefix, items = encode(samples, tokenizer, config)
    log.info("samples", fit=len(items), of=len(samples), prefix_tokens=len(prefix), base=base.name)
    wrapped = with_adapter(model, config)
    trained = [parameter for parameter in wrapped.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0.0)
    chance = random.Random(config.seed)  # noqa: S311
    batches = [batch for _ in range(config.epochs) for batch in make_batches(items, config.batch_size, chance)]
    out.mkdir(parents=True, exist_ok=True)
    dev_rows = label_rows(tokenizer, dev)[1] if dev else []
    of_base = _digest(base)
    content = json.dumps([of_base, asdict(config), [item.ids for item in items], dev_rows], sort_keys=True)
    fingerprint, checkpoint = hashlib.sha256(content.encode()).hexdigest(), out / "checkpoint.pt"
    folder, key = states or out, f"{of_base} {prefix}{' bf16' if config.bf16 else ''}"
    # The last token of a sample predicts nothing that is learnt.
    seen = _keep([item.ids[:-1] for item in items], folder, model, config, key)
    dev_seen = _keep(dev_rows, folder, model, config, key)
    last = len(batches) if max_steps is None else min(max_steps, len(batches))
    progress = Progress(out, len(batches), tensorboard=tensorboard)
    run = _Run(
        config, wrapped, tokenizer, optimizer, prefix, items, batches, seen, dev, dev_seen, checkpoint, fingerprint,
        progress, last,
    )  # fmt: skip
    if checkpoint.exists():
        state = _read_checkpoint(checkpoint)
        if state["fingerprint"] != fingerprint:
            raise TrainingError(f"{checkpoint} belongs to another run", cure="give another output folder, or remove it")
        set_peft_model_state_dict(wrapped, state["adapter"])
        optimizer.load_state_dict(state["optimizer"])
        run.step, run.losses, run.seconds = state["step"], state["losses"], state["seconds"]
        run.epochs, run.best = state["epochs"], state["best"]
        log.info("going on", step=run.step, of=len(batches))
    progress.begin(run.step)
    wrapped.train()
    try:
        _run_workers(run)
    finally:
        progress.end()
    if run.best is not None:
        set_peft_model_state_dict(wrapped, run.best)
    save_adapter(wrapped, out)
    best = run.epochs[_best(run.epochs)] if run.epochs else None
    card: dict[str, Any] = {
        "config": asdict(config),
        "samples": len(items),
        "full_samples": sum(len(item.weights) > 8 for item in items),
        "steps": run.step,
        "seconds": round(run.seconds),
        "losses": run.losses,
        "epochs": run.epochs,
        "dev": best,
    }
    (out / "run.json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if states is None and run.step == len(batches):
        for kept in (seen, dev_seen):
            if kept.states:
                kept.states.remove()
    return card
