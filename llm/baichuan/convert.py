"""From a Baichuan checkpoint to a folder that transformers and vLLM serve as LLaMA, with no remote code.

The folder appears by one rename when all its files are on the disk; what an interrupted run left is removed by the next.
Its manifest names the sha256 of every file read and written.
"""

import json
import math
from pathlib import Path
from typing import Any

from llm.adapters import file_digest
from llm.baichuan import ConversionError
from llm.baichuan.folder import new_folder
from llm.baichuan.shape import Shape, llama_config, read_json, read_shape, tensor_shapes
from llm.baichuan.tokenizer import MODEL, convert_tokenizer
from llm.baichuan.weights import (
    SHARD_BYTES,
    Weight,
    check_weights,
    make_tensor,
    open_weights,
    shard_names,
    shards,
    weight_files,
)
from yuqing.telemetry import get_logger

log = get_logger(__name__)

MANIFEST = "conversion.json"
_NUMBER_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
# Tokenizer, configuration and manifest: Baichuan2's tokenizer.json is the largest, about 10 MB.
_SIDE_BYTES = 64 * 2**20
# Of generation_config.json: what every server understands. The tokens of the turns are in the chat template.
_GENERATION = ("temperature", "top_k", "top_p", "repetition_penalty", "do_sample", "max_new_tokens")


def convert(source: Path, target: Path, shard_bytes: int = SHARD_BYTES) -> dict[str, Any]:
    """Convert the checkpoint in `source` into the new folder `target`; returns the manifest.

    A target that is there already is checked against its own manifest instead, and must be of the same source. Memory: three times
    `shard_bytes` or the largest tensor. Raises ConversionError; `target` exists afterwards only if it is whole.
    """
    if target.exists():
        return _check_existing(source, target)
    shape = read_shape(source)
    files = weight_files(source)
    weights = open_weights(files)
    number_type = check_weights(weights, shape, source)
    with new_folder(target, _size(shape, number_type)) as partial:
        compared = convert_tokenizer(source, shape, partial)
        if not compared:
            log.warning("the tokenizer was not compared with SentencePiece, which is not installed")
        _write_json(partial / "config.json", llama_config(shape, number_type))
        _write_json(partial / "generation_config.json", _generation(source, shape))
        _write_weights(weights, shape, number_type, partial, shard_bytes)
        read = [*files, *(source / name for name in ("config.json", "tokenizer_config.json", MODEL))]
        manifest = {
            "model": shape.name,
            "number_type": number_type,
            "texts_compared_with_sentencepiece": compared,
            "source": {"name": source.resolve().name, "files": _digests(read)},
            "files": _digests(sorted(partial.iterdir())),
        }
        _write_json(partial / MANIFEST, manifest)
    return manifest


def check_converted(target: Path) -> dict[str, Any]:
    """The manifest of a converted folder whose files all have the content that was written. Raises ConversionError."""
    if not (target / MANIFEST).is_file():
        raise ConversionError(
            f"{target} is there already and is not the result of a conversion", cure="name another target, or remove it"
        )
    manifest = read_json(target / MANIFEST)
    for name, entry in manifest["files"].items():
        if not (target / name).is_file() or file_digest(target / name) != entry["sha256"]:
            raise ConversionError(
                f"{target / name} is missing or not what was written", cure="remove the folder and convert again"
            )
    return manifest


def _check_existing(source: Path, target: Path) -> dict[str, Any]:
    manifest = check_converted(target)
    for name, entry in manifest["source"]["files"].items():
        if not (source / name).is_file() or (source / name).stat().st_size != entry["bytes"]:
            raise ConversionError(
                f"{target} is whole, but was made of another checkpoint than {source}", cure="name another target"
            )
    return manifest


def _size(shape: Shape, number_type: str) -> int:
    return (
        sum(math.prod(extents) for extents in tensor_shapes(shape).values()) * _NUMBER_BYTES[number_type] + _SIDE_BYTES
    )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _digests(paths: list[Path]) -> dict[str, dict[str, Any]]:
    return {path.name: {"bytes": path.stat().st_size, "sha256": file_digest(path)} for path in paths}


def _generation(source: Path, shape: Shape) -> dict[str, Any]:
    path = source / "generation_config.json"
    told = read_json(path) if path.exists() else {}
    ids = {f"{name}_token_id": getattr(shape, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    return ids | {name: told[name] for name in _GENERATION if isinstance(told.get(name), int | float)}


def _write_weights(weights: dict[str, Weight], shape: Shape, number_type: str, folder: Path, shard_bytes: int) -> None:
    from safetensors.torch import save_file

    plan = shards(shape, _NUMBER_BYTES[number_type], shard_bytes)
    index: dict[str, str] = {}
    for name, parts in zip(shard_names(len(plan)), plan, strict=True):
        tensors = {part.name: make_tensor(part, weights[part.source]) for part in parts}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        index |= dict.fromkeys(tensors, name)
        log.info("weights written", file=name, of=len(plan))
    if len(plan) > 1:
        total = _size(shape, number_type) - _SIDE_BYTES
        _write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})
