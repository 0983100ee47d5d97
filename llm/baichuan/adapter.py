"""LoRA adapters trained on Baichuan's W_pack, for the converted model's three projections.

W_pack·x is the queries, keys and values one below the other, so its B·A is too: each third keeps A and a third of B's
rows. The scale, alpha / rank, stays.
"""

import json
import re
from pathlib import Path
from typing import Any

from llm.adapters import CONFIG, WEIGHTS
from llm.baichuan import ConversionError
from llm.baichuan.folder import new_folder
from llm.baichuan.shape import read_json
from llm.baichuan.weights import open_weights

_FUSED = "W_pack"
_SPLIT = ("q_proj", "k_proj", "v_proj")
_PICKLED = "adapter_model.bin"
_SIDE_BYTES = 2**20
_FACTOR = re.compile(r"\.lora_[AB]\.weight$")


def is_adapter(folder: Path) -> bool:
    """Whether the folder holds an adapter in PEFT's layout rather than a checkpoint."""
    return (folder / CONFIG).is_file()


def split_factors(tensors: dict[str, Any]) -> dict[str, Any]:
    """The adapter's tensors (PEFT's names; A is (rank, in), B (out, rank)) with those of W_pack cut in three.

    Raises ConversionError for what is not a factor of a LoRA, and for a B that is not three times as high as A is wide.
    """
    found: dict[str, Any] = {}
    for name, tensor in tensors.items():
        if not _FACTOR.search(name):
            raise ConversionError(
                f"the adapter holds {name}, which is not a factor of a plain LoRA", cure="merge it first"
            )
        if f".{_FUSED}." not in name:
            found[name] = tensor
            continue
        if name.endswith(".lora_B.weight"):
            width = tensors.get(name.replace(".lora_B.", ".lora_A."))
            if width is None or tensor.shape[0] != 3 * width.shape[1]:
                raise ConversionError(
                    f"{name} has the shape {tuple(tensor.shape)}, not W_pack's", cure="restore the file"
                )
            pieces = tensor.chunk(3)
        else:
            pieces = (tensor,) * 3
        for module, piece in zip(_SPLIT, pieces, strict=True):
            found[name.replace(f".{_FUSED}.", f".{module}.")] = piece.clone()
    if len(found) == len(tensors):
        raise ConversionError(f"the adapter has nothing on {_FUSED}", cure="it fits the converted model as it is")
    return found


def _split_config(config: dict[str, Any], path: Path) -> dict[str, Any]:
    plain = {"peft_type": "LORA", "use_dora": False, "bias": "none", "modules_to_save": None, "fan_in_fan_out": False}
    for name, wanted in plain.items():
        if (config.get(name) or wanted) != wanted:
            raise ConversionError(
                f"{path}: {name} is {config[name]!r}, only plain LoRA can be converted", cure="merge it first"
            )
    targets = config.get("target_modules")
    if not isinstance(targets, list) or _FUSED not in targets:
        raise ConversionError(f"{path}: target_modules does not list {_FUSED}", cure="list the modules by name")
    result = dict(config)
    result["target_modules"] = sorted({*targets, *_SPLIT} - {_FUSED})
    for name in ("rank_pattern", "alpha_pattern"):
        result[name] = {
            key.replace(_FUSED, module): value
            for key, value in (config.get(name) or {}).items()
            for module in (_SPLIT if _FUSED in key else (_FUSED,))
        }
    return result


def convert_adapter(source: Path, target: Path) -> dict[str, Any]:
    """Convert the adapter in `source` into the new folder `target`; returns its configuration. Raises ConversionError."""
    from safetensors.torch import save_file

    if target.exists():
        raise ConversionError(f"{target} is there already", cure="name another target, or remove it")
    config = _split_config(read_json(source / CONFIG), source / CONFIG)
    paths = [source / name for name in (WEIGHTS, _PICKLED) if (source / name).is_file()][:1]
    if not paths:
        raise ConversionError(f"{source} holds neither {WEIGHTS} nor {_PICKLED}", cure="restore its files")
    tensors = split_factors({name: weight.read() for name, weight in open_weights(paths).items()})
    size = sum(tensor.nbytes for tensor in tensors.values())
    with new_folder(target, size + _SIDE_BYTES) as partial:
        save_file(tensors, partial / WEIGHTS, metadata={"format": "pt"})
        (partial / CONFIG).write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return config
