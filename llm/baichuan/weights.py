"""Weights from a checkpoint's files, read lazily and without executing anything, and written in LLaMA's layout."""

import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from llm.baichuan import ConversionError
from llm.baichuan.shape import ROPE_BASE, Shape, read_json, tensor_shapes

# Held in memory while it is written, with two copies; the largest tensor, Baichuan2's embedding in bf16, is 0.96 GiB.
SHARD_BYTES = 2**30
# Rows of the last layer that are normalised at once: 64 MiB in float32 at 4096 columns.
_ROWS = 4096
_AGAIN = "download the file again"
# The order in which they are looked for: safetensors hold the same numbers and cannot hold anything else.
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_SINGLES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True)
class Weight:
    """A tensor on disk: the file it lies in, its shape, its type (torch's name) and how to get it."""

    file: Path
    shape: tuple[int, ...]
    number_type: str
    read: Callable[[], Any]


@dataclass(frozen=True)
class Part:
    """A tensor of the converted model: the rows [start, stop) of a source, divided by their length if `normalise`."""

    name: str
    source: str
    start: int
    stop: int
    normalise: bool = False


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights. Raises ConversionError when some are missing."""
    for name in _INDEXES:
        if (folder / name).exists():
            found = _indexed(folder / name)
            break
    else:
        found = [folder / name for name in _SINGLES if (folder / name).exists()][:1]
    if not found:
        names = ", ".join((*_SINGLES, *_INDEXES))
        raise ConversionError(f"{folder} holds no weights", cure=f"one of these is needed: {names}")
    missing = [path.name for path in found if not path.is_file()]
    if missing:
        raise ConversionError(
            f"{folder} is not whole: {len(missing)} of {len(found)} weight files are missing ({', '.join(missing[:3])})",
            cure="download them",
        )
    return found


def _indexed(index: Path) -> list[Path]:
    files = read_json(index).get("weight_map")
    if not isinstance(files, dict) or not files or not all(isinstance(name, str) for name in files.values()):
        raise ConversionError(f"{index} names no files", cure=_AGAIN)
    names = sorted(set(files.values()))
    outside = [name for name in names if Path(name).name != name or not name.endswith((".bin", ".safetensors"))]
    if outside:
        raise ConversionError(f"{index} names {outside[0]!r}, which is no weight file beside it", cure=_AGAIN)
    return [index.parent / name for name in names]


def open_weights(files: list[Path]) -> dict[str, Weight]:
    """All tensors of the files by name; nothing is read yet but headers. Raises ConversionError."""
    weights: dict[str, Weight] = {}
    for path in files:
        with path.open("rb") as file:
            if file.read(40).startswith(b"version https://git-lfs"):
                raise ConversionError(f"{path} is a placeholder of Git LFS, not the weights", cure="run `git lfs pull`")
        found = _open_safetensors(path) if path.suffix == ".safetensors" else _open_torch(path)
        twice = next((name for name in found if name in weights), None)
        if twice:
            raise ConversionError(f"{twice} lies in {weights[twice].file.name} and in {path.name}", cure=_AGAIN)
        weights |= found
    return weights


def _open_safetensors(path: Path) -> dict[str, Weight]:
    from safetensors import SafetensorError, safe_open

    # A handle each file stays open as long as a Weight refers to it; the data are mapped, not loaded.
    try:
        handle: Any = safe_open(path, framework="pt")
        slices = {name: handle.get_slice(name) for name in handle.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise ConversionError(f"{path} is truncated or damaged: {error}", cure=_AGAIN) from None
    types = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
    return {
        name: Weight(
            path,
            tuple(found.get_shape()),
            types.get(found.get_dtype(), found.get_dtype()),
            partial(handle.get_tensor, name),
        )
        for name, found in slices.items()
    }


def _given(tensor: Any) -> Callable[[], Any]:
    return lambda: tensor


def _open_torch(path: Path) -> dict[str, Weight]:
    """A .bin is a zip with a pickle in it. torch admits tensors and plain containers there, and calls nothing else."""
    import pickle

    import torch

    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ConversionError(f"{path} is compressed, which torch never does", cure="do not use this file")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError, struct.error) as error:
        raise ConversionError(
            f"{path} is truncated or not a checkpoint of torch 1.6 or later: {error}", cure=_AGAIN
        ) from None
    if damaged:
        raise ConversionError(
            f"{path} is damaged: {damaged} has another checksum than when it was written", cure=_AGAIN
        )
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("Please file", 1)[0].split("\n")
        named = next((line for line in reason if "GLOBAL" in line or "Unsupported" in line), reason[0])
        raise ConversionError(
            f"{path} holds more than weights and might run code; it was not executed ({named.strip()[:200]})",
            cure="do not use this file; take the checkpoint from its publisher",
        ) from None
    except (RuntimeError, ValueError, EOFError, KeyError, AttributeError, TypeError, OSError) as error:
        raise ConversionError(f"{path} cannot be read: {str(error)[:200]}", cure=_AGAIN) from None
    if not isinstance(tensors, dict):
        raise ConversionError(f"{path} holds a {type(tensors).__name__}, not tensors by name", cure=_AGAIN)
    weights = {}
    for name, value in tensors.items():
        if not (isinstance(name, str) and torch.is_tensor(value) and value.layout == torch.strided):
            raise ConversionError(f"{path}: {name!r} is not a dense tensor", cure="do not use this file")
        number_type = str(value.dtype).removeprefix("torch.")
        weights[name] = Weight(path, tuple(value.shape), number_type, _given(value))
    return weights


def check_weights(weights: dict[str, Weight], shape: Shape, folder: Path) -> str:
    """Every tensor of the shape is there, of its size, and no other. Returns the type of their numbers (torch's name).

    Raises ConversionError. Old checkpoints also keep the frequencies of the rotary embedding, which must be the usual.
    """
    expected = tensor_shapes(shape)
    missing = [name for name in expected if name not in weights]
    if missing:
        raise ConversionError(
            f"{folder} lacks {len(missing)} of {len(expected)} tensors: {', '.join(missing[:3])}",
            cure="download the checkpoint again, whole",
        )
    others = [name for name in weights if name not in expected]
    frequencies = [name for name in others if name.endswith(".rotary_emb.inv_freq")]
    unknown = sorted(set(others) - set(frequencies))
    if unknown:
        raise ConversionError(
            f"{folder} holds {len(unknown)} tensors that {shape.name} does not have: {', '.join(unknown[:3])}",
            cure="adapters must be merged or converted apart; other models cannot be converted",
        )
    for name, wanted in expected.items():
        if weights[name].shape != wanted:
            raise ConversionError(
                f"{weights[name].file}: {name} has the shape {weights[name].shape}, config.json wants {wanted}",
                cure="config.json or the weights are another model's",
            )
    types = {weights[name].number_type for name in expected}
    if len(types) != 1 or not types <= {"float32", "float16", "bfloat16"}:
        raise ConversionError(
            f"{folder} has weights of the types {', '.join(sorted(types))}",
            cure="one of bfloat16, float16 and float32 for all can be converted",
        )
    for name in frequencies:
        _check_frequencies(weights[name], name, shape)
    return types.pop()


def _check_frequencies(weight: Weight, name: str, shape: Shape) -> None:
    import torch

    size = shape.hidden_size // shape.num_attention_heads
    usual = 1.0 / ROPE_BASE ** (torch.arange(0, size, 2).float() / size)
    # bf16 keeps eight bits: they are off by 2^-9 at most.
    if weight.shape != tuple(usual.shape) or not torch.allclose(weight.read().float(), usual, rtol=2**-8, atol=0):
        raise ConversionError(
            f"{weight.file}: {name} is not the rotary embedding of {shape.name}", cure="convert the original checkpoint"
        )


def parts(shape: Shape) -> list[Part]:
    """The converted model's tensors in the order they are written.

    W_pack's rows are the queries', the keys' and the values', one after the other (published code: unflatten(-1, (3,
    hidden))). Baichuan2's last layer multiplies by its rows divided by their Euclidean length (NormHead).
    """
    found = []
    for source, (rows, *_) in tensor_shapes(shape).items():
        if source.endswith(".W_pack.weight"):
            third = rows // 3
            stem = source.removesuffix("W_pack.weight")
            found += [
                Part(f"{stem}{letter}_proj.weight", source, place * third, (place + 1) * third)
                for place, letter in enumerate("qkv")
            ]
        else:
            found.append(Part(source, source, 0, rows, source == "lm_head.weight" and shape.generation == 2))
    return found


def shards(shape: Shape, number_bytes: int, most: int = SHARD_BYTES) -> list[list[Part]]:
    """The parts cut into files of at most `most` bytes (or one tensor)."""
    shapes = tensor_shapes(shape)
    files: list[list[Part]] = [[]]
    filled = 0
    for part in parts(shape):
        size = (part.stop - part.start) * number_bytes
        for extent in shapes[part.source][1:]:
            size *= extent
        if files[-1] and filled + size > most:
            files.append([])
            filled = 0
        files[-1].append(part)
        filled += size
    return files


def shard_names(count: int) -> Iterator[str]:
    """The names that transformers and vLLM look for."""
    if count == 1:
        yield "model.safetensors"
        return
    for number in range(1, count + 1):
        yield f"model-{number:05d}-of-{count:05d}.safetensors"


def make_tensor(part: Part, weight: Weight) -> Any:
    """The part as a tensor of its own. Raises ConversionError when it holds what is not a number."""
    import torch

    rows = weight.read()[part.start : part.stop]
    if not torch.isfinite(rows).all():
        raise ConversionError(f"{weight.file}: {part.source} holds infinities or NaN", cure=_AGAIN)
    if not part.normalise:
        return rows.clone(memory_format=torch.contiguous_format)
    # In float32 and rounded once; the published code rounds the length, too, and is off by up to 0.4 % in bf16.
    result = torch.empty(rows.shape, dtype=rows.dtype)
    for start in range(0, len(rows), _ROWS):
        chunk = rows[start : start + _ROWS].float()
        result[start : start + _ROWS] = torch.nn.functional.normalize(chunk).to(rows.dtype)
    return result
