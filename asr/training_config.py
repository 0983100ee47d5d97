"""What a fine-tuning run is made of: a YAML file, whose paths are relative to it."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from asr.conditions import CONDITIONS
from asr.manifests import ManifestError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class TrainingConfig(BaseModel):
    """The fields of the file. The defaults are usual ones of LoRA and SpecAugment, not the result of a search."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: Path
    validation: Path
    out: Path
    base: str = "whisper-base"  # a name of `yuqing models list`, or a folder with CTranslate2 weights
    train_part: str | None = None  # as --part of `yuqing asr evaluate`
    validation_part: str | None = None
    # Each time a clip is learnt from, one of these is drawn for it; it is validated under each of them.
    conditions: tuple[str, ...] = ("clean",)
    language: str = "zh"
    # Stands before half of the clips, as it does when the worker transcribes.
    prompt: str = "以下是普通话的句子。"
    rank: Count = 16
    alpha: Count = 32
    dropout: Share = 0.05
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    warmup: Share = 0.1
    epochs: Count = 10
    batch_size: Count = 4
    patience: Count = 3  # epochs without a better validation after which it stops
    seed: int = 7
    # SpecAugment (Park et al., 2019): the share of frames, of 10 ms each, and of mel bins that masks of this length cover.
    mask_time: Share = 0.05
    mask_time_frames: Count = 10
    mask_mel: Share = 0.05
    mask_mel_bins: Count = 10
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    gradient_checkpointing: bool = False  # less memory, a third more time
    loaders: Annotated[int, Field(ge=0)] = 0  # processes that read recordings; 0: the training one
    checkpoint_every: Count = 25  # steps; and after every epoch

    @field_validator("conditions")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names or set(names) - set(CONDITIONS):
            raise ValueError("they are " + ", ".join(CONDITIONS))
        return names


def read_config(path: Path) -> TrainingConfig:
    """The file's settings with absolute paths. Raises ManifestError: the field and the reason."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        config = TrainingConfig.model_validate(content)
    except OSError as error:
        raise ManifestError(f"{path} cannot be read: {error.strerror}", cure="name a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} is no YAML: {error}", cure="see docs/asr.md for an example") from None
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, problem["loc"])) or "the file"
        raise ManifestError(f"{path}: {field}: {problem['msg']}", cure="see docs/asr.md for the fields") from None
    folder = path.absolute().parent
    paths = {name: folder / getattr(config, name).expanduser() for name in ("train", "validation", "out")}
    if (folder / config.base).is_dir():
        paths["base"] = str(folder / config.base)
    return config.model_copy(update=paths)
