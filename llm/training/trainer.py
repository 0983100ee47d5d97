"""The engine for GPUs (and for anything that the CPU engine does not do): transformers' Trainer over accelerate.

Started by `accelerate launch` with one of llm/training/accelerate/*.yaml it takes several GPUs. The order of the rows and the
weight of each in its step are fixed beforehand, so that an interrupted run goes on exactly and that accumulation and several
devices give the gradient of the whole step.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from llm.adapters import CONFIG, WEIGHTS
from llm.dataset import Sample
from llm.training.checkpoints import mark, newest_whole, seconds_of
from llm.training.config import RunConfig
from llm.training.methods import load_with_adapter
from llm.training.progress import Progress
from llm.training.rows import Row, arranged, collate, packed, rows_of
from llm.training.run import scale
from llm.training.samples import TrainingError
from yuqing.telemetry import get_logger

log = get_logger(__name__)

CHECKPOINTS = "checkpoints"
RUN = "run.json"
BEST = "best"


class _Rows:
    """Rows in their order, each with what its weights are multiplied by: 1 / the weight of its step over all devices.

    Rows that weigh nothing fill the last batches, so that every device gets as many and none is given some twice.
    """

    def __init__(self, rows: Sequence[Row], order: Sequence[int], step: int, multiple: int) -> None:
        self._rows, self._order = rows, order
        totals = [sum(rows[i].weights) for i in order]
        sums = [sum(totals[begin : begin + step]) for begin in range(0, len(totals), step)]
        self._shares = [1 / sums[place // step] for place in range(len(order))]
        self._length = -(-len(order) // multiple) * multiple

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: int) -> tuple[Row, float]:
        if place >= len(self._order):
            return self._rows[self._order[-1]], 0.0
        return self._rows[self._order[place]], self._shares[place]


def _collator(padding: int, pack: bool, devices: int) -> Any:
    def collated(chosen: Sequence[tuple[Row, float]]) -> dict[str, Any]:
        import torch

        found = collate([row for row, _ in chosen], padding, pack=pack)
        # Devices' gradients are averaged; here they are parts of one sum.
        scales = torch.tensor([[share * devices] for _, share in chosen])
        return found | {"weights": found["weights"] * scales}

    return collated


def _weighted_loss(model: Any, inputs: dict[str, Any]) -> Any:
    """Sum of the cross-entropies of the tokens that have a weight, each times it, in float32."""
    import torch

    weights, labels = inputs.pop("weights"), inputs.pop("labels")
    logits = model(**inputs, use_cache=False).logits[:, -labels.shape[1] :]  # virtual tokens have logits, too
    wanted = weights[:, 1:] > 0
    losses = torch.nn.functional.cross_entropy(logits[:, :-1][wanted].float(), labels[:, 1:][wanted], reduction="none")
    return (losses * weights[:, 1:][wanted]).sum()


def _validation_of(losses: Sequence[dict[str, Any]]) -> list[float]:
    return [float(entry["eval_loss"]) for entry in losses if "eval_loss" in entry]


def _trainer_class() -> Any:
    from torch.optim.lr_scheduler import LambdaLR
    from transformers import Trainer

    class AnswerTrainer(Trainer):  # type: ignore[misc]
        """Loss on the answers, our schedule, and the validation's loss as a mean over its tokens."""

        loss_is_scaled_for_ga = True
        run: RunConfig
        lr_scheduler: Any

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            loss = _weighted_loss(model, inputs)
            return (loss, {}) if return_outputs else loss

        def prediction_step(self, model: Any, inputs: Any, *_: Any, **__: Any) -> Any:
            import torch

            inputs = self._prepare_inputs(inputs)
            size = inputs["input_ids"].shape[0]
            with torch.no_grad():
                loss = _weighted_loss(model, inputs)
            # The Trainer averages batches by their rows, over all rows and devices; ours are parts of one sum.
            rows = len(self.eval_dataset)
            return loss.detach() * rows / size / self.args.world_size, None, None

        def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
            if self.lr_scheduler is None:
                warmup, kind = self.run.warmup, self.run.scheduler
                self.lr_scheduler = LambdaLR(
                    optimizer or self.optimizer,
                    lambda step: scale(min(step, num_training_steps), num_training_steps, warmup, kind),
                )
                self._created_lr_scheduler = True
            return self.lr_scheduler

    return AnswerTrainer


def _watcher(trainer: Any, progress: Progress, config: RunConfig, last: int | None, before: float) -> Any:
    """What follows the run: history, the best weights, the early end, and the marks of whole checkpoints."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.began, self.first = time.monotonic(), 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.began, self.first = time.monotonic(), state.global_step
            if state.is_world_process_zero:
                progress.begin(state.global_step)

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if last is not None and state.global_step >= last:
                control.should_save = control.should_training_stop = True

        def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
            if not state.is_world_process_zero or "loss" not in logs:
                return
            passed = time.monotonic() - self.began
            end = state.max_steps if last is None else min(last, state.max_steps)
            left = passed / max(1, state.global_step - self.first) * (end - state.global_step)
            progress.stepped(state.global_step, logs["loss"], logs["learning_rate"], before + passed, left)
            if state.global_step % args.eval_steps == 0 and args.eval_strategy != "no":
                progress.validating()

        def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            losses = _validation_of(state.log_history)
            if state.is_world_process_zero:
                progress.validated(state.global_step, {"loss": round(losses[-1], 5)})
            best = losses.index(min(losses))
            if best == len(losses) - 1:
                _save_whole(trainer, config.out / BEST)
            if 0 < config.patience <= len(losses) - 1 - best:
                control.should_training_stop = True
            control.should_save = True

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.is_world_process_zero:
                mark(Path(args.output_dir) / f"checkpoint-{state.global_step}", before + time.monotonic() - self.began)

    return Watcher()


def _save_whole(trainer: Any, folder: Path) -> None:
    """The adapter in a folder of its own, which takes the place of an older one when it is whole."""
    part = folder.with_name(f".{folder.name}.part")
    if trainer.is_world_process_zero():
        shutil.rmtree(part, ignore_errors=True)
    trainer.accelerator.wait_for_everyone()
    trainer.save_model(str(part))
    if trainer.is_world_process_zero():
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    trainer.accelerator.wait_for_everyone()


def _publish(folder: Path, out: Path) -> None:
    """PEFT's two files of a saved adapter, the weights in bf16, the configuration last."""
    import torch
    from safetensors.torch import load_file, save_file

    factors = {name: tensor.to(torch.bfloat16) for name, tensor in load_file(folder / WEIGHTS).items()}
    save_file(factors, out / WEIGHTS, metadata={"format": "pt"})
    shutil.copyfile(folder / CONFIG, out / CONFIG)


def _arguments(config: RunConfig, steps: int, each: int, validated: bool) -> Any:
    import torch
    from transformers import TrainingArguments

    return TrainingArguments(
        output_dir=str(config.out / CHECKPOINTS),
        max_steps=steps,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        weight_decay=0.0,
        max_grad_norm=config.max_gradient_norm,
        train_sampling_strategy="sequential",  # the rows are in their order already
        eval_strategy="steps" if validated else "no",
        eval_steps=each,
        save_steps=config.checkpoint_every,
        save_total_limit=2,  # an older one for the case that the newest is damaged
        logging_steps=1,
        bf16=config.bf16,
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        seed=config.seed,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
    )


def _fingerprint(config: RunConfig, rows: Sequence[Row], devices: int) -> str:
    """What an interrupted run must share with the one that goes on."""
    kept = config.model_dump(mode="json", exclude={"out", "states", "tensorboard", "workers", "patience", "engine"})
    content = json.dumps([kept, devices, [row.ids for row in rows]], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _claim(folder: Path, fingerprint: str, leads: bool) -> None:
    path = folder / "fingerprint"
    if path.exists() and path.read_text() != fingerprint:
        raise TrainingError(f"{folder} holds another run's checkpoints", cure="give another out, or remove the folder")
    if leads:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(fingerprint)


def train(
    base: Path, samples: Sequence[Sample], dev: Sequence[Sample], config: RunConfig, *, max_steps: int | None = None
) -> dict[str, Any]:
    """Train an adapter into `config.out` and return the run card, which is also <out>/run.json.

    With dev samples the weights with the least loss on them are taken, otherwise the last. Killed at any moment and called
    again it goes on from its newest whole checkpoint. Raises TrainingError.
    """
    import torch
    from transformers import PrinterCallback, set_seed

    set_seed(config.seed)
    devices, leads = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0")) == 0
    model, tokenizer = load_with_adapter(base, config)
    weights = (config.label_weight, config.company_label_weight)
    rows = rows_of(samples, tokenizer, config.cutoff, *weights)
    log.info("samples", fit=len(rows), of=len(samples), base=base.name, method=config.method)
    held = rows_of(dev, tokenizer, config.cutoff, *weights) if dev else []
    fit, pack = len(rows), config.batching == "pack"
    full = sum(sample.full for sample in samples)
    if pack:
        rows, held = packed(rows, config.cutoff), packed(held, config.cutoff)
    per_step = config.batch_size * config.accumulation * devices
    order = arranged(rows, config.epochs, config.batch_size, config.seed)
    steps, each = -(-len(order) // per_step), -(-len(rows) // per_step)
    folder = config.out / CHECKPOINTS
    _claim(folder, _fingerprint(config, rows, devices), leads)
    progress = Progress(config.out, steps, tensorboard=config.tensorboard)
    resumed = newest_whole(folder, remove=leads)
    before = seconds_of(resumed) if resumed else 0.0
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    trainer = _trainer_class()(
        model=model,
        args=_arguments(config, steps, each, bool(held)),
        train_dataset=_Rows(rows, order, per_step, per_step),
        eval_dataset=_Rows(held, range(len(held)), len(held), config.batch_size * devices) if held else None,
        data_collator=_collator(padding, pack, devices),
    )
    trainer.run = config
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_watcher(trainer, progress, config, max_steps, before))
    began = time.monotonic()
    try:
        if resumed:
            log.info("going on", checkpoint=resumed.name, of=steps)
        trainer.train(resume_from_checkpoint=str(resumed) if resumed else None)
        best = config.out / BEST
        if not (held and best.is_dir()):
            _save_whole(trainer, best)
        if leads:
            _publish(best, config.out)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            f"the memory does not suffice: {str(error).splitlines()[0]}",
            cure="lower batch_size and raise accumulation, or gradient_checkpointing: true, method: qlora, a smaller cutoff",
        ) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        if "inline_container" in reason:  # how torch.save tells of a write that failed
            reason = f"a checkpoint in {folder} cannot be written, the disk is probably full ({reason})"
        raise TrainingError(
            f"training stopped: {reason}",
            cure="look at the disk and the devices, and start again: it goes on from the newest whole checkpoint",
        ) from error
    finally:
        if leads:
            progress.end()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    validation = _validation_of(trainer.state.log_history)
    card: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "samples": fit,
        "full_samples": full,
        "rows": len(rows),
        "steps": trainer.state.global_step,
        "seconds": round(before + time.monotonic() - began),
        "losses": [round(loss, 4) for loss in losses],
        "epochs": [{"loss": round(loss, 5)} for loss in validation],
        "dev": {"documents": len(dev), "loss": round(min(validation), 5)} if validation else None,
    }
    if leads:
        (config.out / RUN).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return card
