"""Weights that a CPU server can load: the base's GGUF as safetensors, and an adapter merged into them.

Both are made once and kept in the cache under names that hold the hashes of what they were made of; a folder appears by
one rename when it is whole. On a CPU merged weights are six times as fast as an adapter applied at run time.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm.adapters import CARD, WEIGHTS, Adapter, AdapterError, check_base
from llm.baichuan.convert import MANIFEST
from yuqing.model_manifest import find_model
from yuqing.settings import Settings
from yuqing.telemetry import get_logger
from yuqing.weights import model_path

log = get_logger(__name__)

_PREFIX = "base_model.model."


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    folder.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder.with_name(f".{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def make_folder(folder: Path, fill: Callable[[Path], None]) -> Path:
    """The folder, made by `fill` when it is not there. A second process waits for the first."""
    if folder.is_dir():
        return folder
    with _only_one(folder):
        if not folder.is_dir():
            partial = folder.with_name(f".{folder.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            fill(partial)
            partial.rename(folder)
    return folder


def _own_folder(settings: Settings) -> Path | None:
    """The base's folder when the setting names one (a converted Baichuan, say) and not a model of the manifest."""
    return Path(settings.llm.base) if "/" in settings.llm.base else None


def base_sha256(settings: Settings) -> str:
    """The hash by which adapters name their base: that of the GGUF file, or of the first weights file.

    Raises AdapterError for a folder that does not say its files' hashes.
    """
    own = _own_folder(settings)
    if own is None:
        files = {file.path: str(file.sha256) for file in find_model(settings.llm.base).files}
    else:
        try:
            told = json.loads((own / MANIFEST).read_text(encoding="utf-8"))["files"]
            files = {name: str(entry["sha256"]) for name, entry in told.items()}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AdapterError(
                f"{own} does not tell its files' hashes: {error!r}",
                cure="convert the model with `yuqing llm convert-baichuan`, or serve it bare with --model",
            ) from None
    weights = sorted(name for name in files if name.endswith((".gguf", ".safetensors")))
    return files[weights[0]] if weights else ""


def _base_folder(settings: Settings) -> Path:
    own = _own_folder(settings)
    if own is not None:
        return settings.cache / "models" / f"{own.resolve().name}-{base_sha256(settings)[:8]}"
    stem = settings.llm.base.removesuffix("-gguf")
    return settings.cache / "models" / f"{stem}-bf16-{base_sha256(settings)[:8]}"


def base_path(settings: Settings) -> Path:
    """The base model as a folder of bf16 safetensors with its tokenizer; fetched and converted when it is not there."""
    own = _own_folder(settings)
    if own is not None:
        return own
    folder = _base_folder(settings)
    if folder.is_dir():
        return folder
    source = model_path(settings.llm.base, settings)
    found = sorted(source.glob("*.gguf"))
    return make_folder(folder, lambda partial: _convert(found[0], partial)) if found else source


def _convert(gguf: Path, target: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    log.info("converting a model, about a minute, once", source=gguf.name)
    tokenizer: Any = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model: Any = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


def merge_tensors(weights: dict[str, Any], lora: dict[str, Any], scale: float) -> None:
    """Add scale · B·A to each weight that the adapter names, in place; the sum is made in float32.

    `weights` are tensors by name, (out, in); `lora` holds `<prefix><module>.lora_A.weight` (rank, in) and `lora_B` (out,
    rank), PEFT's names. Raises AdapterError for a part without its counterpart, of another shape, or of another kind.
    """
    used = set()
    for name, a in lora.items():
        if not name.endswith(".lora_A.weight"):
            continue
        module = name.removeprefix(_PREFIX).removesuffix(".lora_A.weight")
        partner, target = name.replace(".lora_A.", ".lora_B."), f"{module}.weight"
        if partner not in lora or target not in weights:
            raise AdapterError(f"the adapter's {name} has no counterpart", cure="use the base that it was trained on")
        b, weight = lora[partner], weights[target]
        if (b.shape[0], a.shape[1]) != tuple(weight.shape) or b.shape[1] != a.shape[0]:
            raise AdapterError(
                f"the adapter's {module} does not fit the base", cure="use the base that it was trained on"
            )
        weights[target] = (weight.float() + scale * (b.float() @ a.float())).to(weight.dtype)
        used |= {name, partner}
    left = sorted(set(lora) - used)
    if left or not used:
        raise AdapterError(f"the adapter holds what cannot be merged: {left[:3] or 'nothing'}", cure="use a plain LoRA")


def scale_of(config: dict[str, Any]) -> float:
    """alpha / rank (alpha / √rank for rsLoRA): by what the product of the two factors is multiplied."""
    rank = float(config["r"])
    return float(config["lora_alpha"]) / (rank**0.5 if config.get("use_rslora") else rank)


def _merge(base: Path, adapter: Adapter, target: Path) -> None:
    from safetensors.torch import load_file, save_file

    log.info("merging an adapter", adapter=adapter.name, base=base.name)
    lora, left = load_file(adapter.folder / WEIGHTS), set()
    modules = {name: name.removeprefix(_PREFIX).split(".lora_")[0] for name in lora}
    for path in sorted(base.iterdir()):
        if not path.is_file():
            continue
        if path.suffix != ".safetensors":
            shutil.copy2(path, target / path.name)
            continue
        weights = load_file(path)  # a shard at a time
        here = {name: tensor for name, tensor in lora.items() if f"{modules[name]}.weight" in weights}
        if here:
            merge_tensors(weights, here, scale_of(adapter.config))
        left |= set(here)
        save_file(weights, target / path.name, metadata={"format": "pt"})
    if left != set(lora):
        raise AdapterError(
            f"the adapter holds what the base does not have: {sorted(set(lora) - left)[:3]}",
            cure="use the base that it was trained on",
        )
    shutil.copy2(adapter.folder / CARD, target / CARD)


def merged_path(settings: Settings, adapter: Adapter) -> Path:
    """The folder of base and adapter merged, made when it is not there. Raises AdapterError when it is for another base."""
    check_base(adapter, base_sha256(settings))
    name = f"{_base_folder(settings).name}+{adapter.served_name}"
    return make_folder(settings.cache / "models" / name, lambda partial: _merge(base_path(settings), adapter, partial))
