"""A training run's YAML file: what it may hold, and what goes together."""

import difflib
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from llm.training.samples import TARGETS, TrainingError

Method = Literal["lora", "qlora", "p-tuning", "prefix-tuning"]
VIRTUAL = ("p-tuning", "prefix-tuning")  # methods that put virtual tokens before the prompt


class RunConfig(BaseModel):
    """One run. Relative paths are those of the folder in which the command is run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str | None = Field(None, description="a model of `yuqing models list`, or a folder; empty: llm.base")
    data: tuple[Path, ...] = Field(min_length=1, description="samples, alpaca or sharegpt JSON lines")
    out: Path = Field(description="folder of the adapter, its checkpoints and its run card")
    validation: float | str = Field(
        0.05, description="a file of samples, inews:dev, or the share of the data that is held out; 0: none"
    )
    validation_documents: int | None = Field(None, ge=1, description="so many of the validation's samples at most")
    engine: Literal["auto", "cpu", "accelerate"] = Field(
        "auto",
        description="cpu: forked workers that keep what the frozen layers say; accelerate: transformers' Trainer, for GPUs; "
        "auto: accelerate where there is a GPU",
    )

    method: Method = "lora"
    last_layers: int = Field(6, ge=0, description="layers that get an adapter, counted from the last; 0: all")
    rank: int = Field(8, ge=1)
    alpha: int = Field(16, ge=1)
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: tuple[str, ...] = Field(TARGETS, min_length=1, description="matrices that get an adapter")
    virtual_tokens: int = Field(20, ge=1, description="p-tuning and prefix-tuning: tokens before the prompt")
    start: Path | None = Field(None, description="folder of an adapter to begin with, of the same shape")

    cutoff: int = Field(640, ge=16, description="tokens of a sample; a longer one is left out and counted")
    batching: Literal["bucket", "pack"] = Field(
        "bucket", description="bucket: samples of like length; pack: several in one row that do not see each other"
    )
    batch_size: int = Field(12, ge=1, description="samples (rows when packed) of a step on one device")
    accumulation: int = Field(1, ge=1, description="batches whose gradients make one step")
    epochs: int = Field(1, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps")
    scheduler: Literal["cosine", "linear", "constant"] = "cosine"
    max_gradient_norm: float = Field(1.0, gt=0)
    label_weight: float = Field(
        8.0, gt=0, description="weight of the document's sentiment in the loss; other tokens: 1"
    )
    company_label_weight: float = Field(2.0, gt=0, description="weight of a company's sentiment")
    seed: int = 7
    patience: int = Field(0, ge=0, description="epochs without a better validation until the run ends; 0: never early")

    bf16: bool = Field(False, description="multiply in bfloat16; on a CPU that has instructions for it (AMX)")
    gradient_checkpointing: bool = Field(False, description="accelerate: less memory, a third more time")
    checkpoint_every: int = Field(10, ge=1, description="steps")
    workers: int = Field(2, ge=1, description="cpu: processes of one thread each")
    states: Path | None = Field(None, description="cpu: folder that keeps the frozen layers' output for the next run")
    tensorboard: bool = Field(False, description="write scalars for TensorBoard to <out>/tensorboard")

    @field_validator("validation")
    @classmethod
    def _share(cls, value: float | str) -> float | str:
        if isinstance(value, float) and not 0 <= value <= 0.5:
            raise ValueError("a share of 0 to 0.5, a file, or inews:dev")
        return value


def _reason(error: ValidationError) -> tuple[str, str]:
    """What is wrong, and the cure."""
    problem = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(name, RunConfig.model_fields, 1)
        known = f"did you mean {near[0]}?" if near else f"known are {', '.join(RunConfig.model_fields)}"
        return f"{name} is not known", known
    described = (
        RunConfig.model_fields[name.split(".")[0]].description if name.split(".")[0] in RunConfig.model_fields else ""
    )
    return f"{name}: {problem['msg']}", described or "see docs/fine-tuning.md"


def read_config(path: Path, changes: tuple[str, ...] = ()) -> RunConfig:
    """The file's configuration, with `name=value` changes (YAML values) put over it.

    Raises TrainingError naming the file, the name and the nearest one that is known.
    """
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingError(
            f"{path} cannot be read: {error}", cure="give a YAML file, as examples/training/*.yaml"
        ) from None
    if not isinstance(read, dict):
        raise TrainingError(f"{path} holds no names and values", cure="give a YAML file, as examples/training/*.yaml")
    values: dict[str, Any] = dict(read)
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals:
            raise TrainingError(f"{change!r} is no change", cure="write --set name=value")
        values[name.strip()] = yaml.safe_load(value)
    if isinstance(values.get("data"), str):
        values["data"] = [values["data"]]
    try:
        config = RunConfig.model_validate(values)
    except ValidationError as error:
        message, cure = _reason(error)
        raise TrainingError(f"{path}: {message}", cure=cure) from None
    _check_together(config, path)
    return config


def _check_together(config: RunConfig, path: Path) -> None:
    def refuse(what: str, cure: str) -> None:
        raise TrainingError(f"{path}: {what}", cure=cure)

    if config.method in VIRTUAL and config.batching == "pack":
        refuse(f"{config.method} puts its tokens before each row, so rows cannot be packed", "batching: bucket")
    if config.method in VIRTUAL and config.start is not None:
        refuse(f"{config.method} begins without an adapter", "remove start")
    if config.method == "prefix-tuning" and config.gradient_checkpointing:
        refuse("prefix-tuning hands keys and values over, which gradient checkpointing forgets", "switch it off")
    if config.patience and config.validation == 0:
        refuse("patience needs a validation", "give one, or patience: 0")


def cpu_refusal(config: RunConfig) -> str | None:
    """What the CPU engine cannot do of it; None when it can do all."""
    if config.method != "lora":
        return f"method: {config.method}"
    for name, plain in (("dropout", 0.0), ("batching", "bucket"), ("gradient_checkpointing", False)):
        if getattr(config, name) != plain:
            return f"{name}: {getattr(config, name)}"
    return None
