"""LoRA fine-tuning of Whisper: adapter, validation by character error rate, early stop, resume, and the model to serve.

Whatever is random in a step (order, condition, prompt, SpecAugment's masks, dropout) follows from the seed and the step's
number, so a run that was stopped anywhere goes on exactly as it would have.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asr.evaluate import Errors
from asr.learning_curve import draw
from asr.manifests import Utterance, read_manifest
from asr.normaliser import VERSION, characters, normalise_transcript
from asr.training_config import TrainingConfig
from asr.training_data import Clips, Tokens, TrainingError, batches, collate, usable
from asr.transformers_model import load_model, save_served
from yuqing.settings import Settings
from yuqing.telemetry import get_logger
from yuqing.weights import model_path

log = get_logger(__name__)

_DECODED = 16  # clips at once: without gradients they need little memory, and a step of decoding costs the same for all
_LOOPED = 2  # times as many tokens as were said: a decoder that writes more goes round in a loop, and nothing is left to count
_CHECKPOINT, _CARD, _CURVE, _ADAPTER = "checkpoint.pt", "run.json", "curve.png", "adapter"


@dataclass
class Progress:
    """What a checkpoint holds beside the optimizer's state."""

    step: int = 0
    losses: list[float] = field(default_factory=list)
    # Character error rates of the validation: before the first step, then after each epoch.
    rates: list[float] = field(default_factory=list)
    best: dict[str, Any] | None = None
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest rate, the first of equals; 0 is the base itself."""
        return self.rates.index(min(self.rates))


def with_adapter(model: Any, config: TrainingConfig) -> Any:
    """The model with a fresh LoRA adapter in all layers, SpecAugment switched on (a PeftModel)."""
    from peft import LoraConfig, get_peft_model

    model.config.apply_spec_augment = True
    model.config.mask_time_prob, model.config.mask_time_length = config.mask_time, config.mask_time_frames
    model.config.mask_feature_prob, model.config.mask_feature_length = config.mask_mel, config.mask_mel_bins
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return get_peft_model(
        model,
        LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=list(config.targets),
        ),
    )


def learning_rate(step: int, steps: int, config: TrainingConfig) -> float:
    """A linear warm-up over the share `warmup` of the steps, then linearly down to a tenth."""
    warm = max(1, round(config.warmup * steps))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    return config.learning_rate * (1 - 0.9 * (step - warm) / max(1, steps - warm))


def validate(
    model: Any, clips: Clips, utterances: Sequence[Utterance], tokens: Tokens, config: TrainingConfig
) -> float:
    """Character error rate of greedy decoding over all clips under all conditions."""
    import torch

    model.eval()
    device, errors = next(model.parameters()).device, Errors()
    keys = [(index, condition) for index in range(len(utterances)) for condition in config.conditions]
    for begin in range(0, len(keys), _DECODED):
        chosen = keys[begin : begin + _DECODED]
        features = [clips.features(clips.samples(index, condition, seed=index))[0] for index, condition in chosen]
        longest = max(tokens.count(utterances[index].text) for index, _ in chosen)
        with torch.inference_mode(), _precision(device, config):
            found = model.get_base_model().generate(
                torch.stack([torch.from_numpy(row) for row in features]).to(device),
                language=config.language,
                task="transcribe",
                do_sample=False,
                num_beams=1,
                max_new_tokens=tokens.room(_LOOPED * longest),
            )
        for (index, _), ids in zip(chosen, found.tolist(), strict=True):
            said, heard = (normalise_transcript(text) for text in (utterances[index].text, tokens.decode(ids)))
            errors += Errors.between(characters(said), characters(heard))
    model.train()
    return round(errors.rate or 0.0, 4)


def _precision(device: Any, config: TrainingConfig) -> Any:
    import torch

    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def _loss(model: Any, batch: dict[str, Any], device: Any, config: TrainingConfig) -> Any:
    import torch

    with _precision(device, config):
        logits = model(
            input_features=batch["features"].to(device),
            attention_mask=batch["frames"].to(device),
            decoder_input_ids=batch["inputs"].to(device),
        ).logits
    return torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), batch["targets"].to(device).flatten())


def _save(path: Path, state: dict[str, Any]) -> None:
    import torch

    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


def _fingerprint(config: TrainingConfig, base: Path, utterances: Sequence[Utterance]) -> str:
    """Of all that decides a run: its settings (not where they are written down), its base and its clips."""
    settings = config.model_dump(mode="json", exclude={"out", "train", "validation", "loaders", "checkpoint_every"})
    with (base / "model.bin").open("rb") as file:
        settings["base"] = hashlib.file_digest(file, "sha256").hexdigest()
    clips = [[item.id, item.text, item.start, item.end, item.audio.stat().st_size] for item in utterances]
    return hashlib.sha256(json.dumps([settings, clips], ensure_ascii=False).encode()).hexdigest()


def train(
    config: TrainingConfig,
    settings: Settings,
    *,
    max_steps: int | None = None,
    report: Callable[[str], None] = log.info,
) -> dict[str, Any]:
    """Fine-tune, and write into config.out: adapter/ (PEFT), curve.png, run.json (which is returned), checkpoint.pt, and the
    model to serve, `<base>-<name of out>/`, of the epoch with the lowest character error rate.

    Stopped at any moment and called again it goes on from its last checkpoint. With `max_steps` it stops there, and writes no
    model unless it is done. Raises TrainingError when config.out holds another run, ManifestError, and what model_path raises.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()  # generate() warns of what is meant so
    base = Path(config.base) if Path(config.base).is_dir() else model_path(config.base, settings)
    model = load_model(base)
    tokens = Tokens(base, config.language, model.config.max_target_positions)
    train_set, left_out = usable(read_manifest(config.train, config.train_part), tokens, config.prompt)
    check_set, _ = usable(read_manifest(config.validation, config.validation_part), tokens, config.prompt)
    device = torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    )
    torch.manual_seed(config.seed)
    wrapped = with_adapter(model, config).to(device).train()
    run = _Run(
        config,
        wrapped,
        tokens,
        train_set,
        check_set,
        device,
        report,
        _fingerprint(config, base, [*train_set, *check_set]),
    )
    config.out.mkdir(parents=True, exist_ok=True)
    run.resume()
    report(f"{len(train_set)} clips ({left_out} left out), {len(check_set)} to validate, base {base.name}, {device}")
    finished = run.go(max_steps)
    card = run.card(base.name, left_out, finished)
    draw(run.progress.losses, run.progress.rates, run.steps_an_epoch, config.out / _CURVE)
    if finished:
        card["model"] = run.export(base)
    (config.out / _CARD).write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return card


class _Run:
    """The state of one run."""

    def __init__(
        self,
        config: TrainingConfig,
        model: Any,
        tokens: Tokens,
        train_set: Sequence[Utterance],
        check_set: Sequence[Utterance],
        device: Any,
        report: Callable[[str], None],
        fingerprint: str,
    ) -> None:
        import torch

        self.config, self.model, self.tokens, self.device, self.report = config, model, tokens, device, report
        mel_bins = model.get_base_model().config.num_mel_bins
        self.clips, self.check_clips = (Clips(chosen, tokens, config, mel_bins) for chosen in (train_set, check_set))
        self.check_set = check_set
        self.batches = batches(len(train_set), config.batch_size, config.epochs, config.seed)
        self.steps_an_epoch = len(self.batches) // config.epochs
        self.trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.AdamW(self.trained, lr=config.learning_rate, weight_decay=0.01)
        self.progress, self.fingerprint = Progress(), fingerprint

    def resume(self) -> None:
        """Take up the checkpoint, if there is one. Raises TrainingError when it is another run's."""
        import torch
        from peft import set_peft_model_state_dict

        path = self.config.out / _CHECKPOINT
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        if state["fingerprint"] != self.fingerprint:
            raise TrainingError(
                f"{path} belongs to another run (settings, clips or base differ)",
                cure="choose another `out`, or remove it",
            )
        set_peft_model_state_dict(self.model, state["adapter"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        self.report(f"going on after step {self.progress.step}")

    def _checkpoint(self) -> None:
        state = {"fingerprint": self.fingerprint, "progress": vars(self.progress), "adapter": self._adapter()}
        _save(self.config.out / _CHECKPOINT, state | {"optimizer": self.optimizer.state_dict()})

    def _adapter(self) -> dict[str, Any]:
        from peft import get_peft_model_state_dict

        return {name: tensor.detach().cpu().clone() for name, tensor in get_peft_model_state_dict(self.model).items()}

    def _validate(self) -> None:
        progress = self.progress
        progress.rates.append(validate(self.model, self.check_clips, self.check_set, self.tokens, self.config))
        if progress.best_epoch == len(progress.rates) - 1:
            progress.best = self._adapter()
        self.report(f"epoch {len(progress.rates) - 1}: validation CER {progress.rates[-1]:.4f}")

    def _stopped(self) -> bool:
        rates = self.progress.rates
        return len(rates) > 0 and len(rates) - 1 - self.progress.best_epoch >= self.config.patience

    def go(self, max_steps: int | None) -> bool:
        """Train up to max_steps; whether the run is done, by its epochs or by the early stop."""
        import numpy as np
        import torch
        from torch.utils.data import DataLoader

        progress, steps, began = self.progress, len(self.batches), time.monotonic()
        before = progress.seconds
        if not progress.rates:
            self._validate()
        last = steps if max_steps is None else min(steps, max_steps)
        loader: Any = DataLoader(
            self.clips,
            batch_sampler=self.batches[progress.step : last],
            collate_fn=collate,
            num_workers=self.config.loaders,
        )
        for batch in loader if not self._stopped() else ():
            # Masks come from NumPy's generator, dropout from torch's.
            np.random.seed((self.config.seed * 1_000_003 + progress.step) % 2**32)
            torch.manual_seed(self.config.seed * 1_000_003 + progress.step)
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(progress.step, steps, self.config)
            self.optimizer.zero_grad()
            loss = _loss(self.model, batch, self.device, self.config)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.trained, 1.0)
            self.optimizer.step()
            progress.losses.append(round(loss.item(), 4))
            progress.step += 1
            progress.seconds = before + time.monotonic() - began
            if progress.step % self.steps_an_epoch == 0:
                self._validate()
                progress.seconds = before + time.monotonic() - began
                self._checkpoint()
                if self._stopped():
                    break
            elif progress.step % self.config.checkpoint_every == 0 or progress.step == last:
                self._checkpoint()
        return progress.step == steps or self._stopped()

    def card(self, base: str, left_out: int, finished: bool) -> dict[str, Any]:
        """What was done, for run.json."""
        progress = self.progress
        return {
            "config": self.config.model_dump(mode="json"),
            "base": base,
            "fingerprint": self.fingerprint,
            "clips": len(self.clips),
            "left_out": left_out,
            "steps": progress.step,
            "finished": finished,
            "early_stop": self._stopped(),
            "seconds": round(progress.seconds),
            "normaliser": VERSION,
            "losses": progress.losses,
            "validation_cer": progress.rates,
            "best_epoch": progress.best_epoch,
        }

    def export(self, base: Path) -> str:
        """Save the best adapter and the model it makes of the base; returns the model's folder's name."""
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(self.model, self.progress.best)
        self.model.save_pretrained(self.config.out / _ADAPTER)
        name = f"{base.name}-{self.config.out.name}"
        merged = self.model.merge_and_unload()
        merged.config.apply_spec_augment = False
        save_served(merged.float().cpu(), base, self.config.out / name)
        return name
