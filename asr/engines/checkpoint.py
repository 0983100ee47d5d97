"""CTranslate2's Whisper weights as the checkpoint that openai-whisper loads: the same numbers under other names."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.ctranslate2_weights import read_whisper_weights
from yuqing.identity import derived_id

_HEAD_WIDTH = 64  # of every Whisper model
Weights = dict[str, NDArray[Any]]


def as_checkpoint(folder: Path, cache: Path) -> Path:
    """The .pt file made of a folder's CTranslate2 weights; made at the first call, found again at the next.

    16-bit weights stay so: openai-whisper widens them as it loads. Raises WeightsError, OSError.
    """
    import torch

    state = (folder / "model.bin").stat()
    name = derived_id("checkpoint", str(folder.resolve()), str(state.st_size), str(state.st_mtime_ns))[:16]
    path = cache / f"{folder.name}-{name}.pt"
    if path.is_file():
        return path
    tensors, dimensions = to_openai(read_whisper_weights(folder))
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=cache, suffix=".partial", delete=False) as stream:
        named = {key: torch.from_numpy(np.array(values)) for key, values in tensors.items()}
        torch.save({"dims": dimensions, "model_state_dict": named}, stream)
    return Path(stream.name).replace(path)


def alignment_heads(folder: Path) -> list[tuple[int, int]]:
    """(layer, head) pairs whose attention follows the sound, as the folder's config.json lists them; empty: not known."""
    path = folder / "config.json"
    if not path.is_file():
        return []
    return [(layer, head) for layer, head in json.loads(path.read_text(encoding="utf-8")).get("alignment_heads", [])]


def to_openai(weights: Weights) -> tuple[Weights, dict[str, int]]:
    """openai-whisper's state_dict and dimensions. CTranslate2 keeps q, k and v one below the other: they are cut apart."""
    width = weights["encoder/layer_norm/gamma"].shape[0]
    layers = {side: _layers(weights, side) for side in ("encoder", "decoder")}
    dimensions = {
        "n_mels": weights["encoder/conv1/weight"].shape[1],
        "n_audio_ctx": weights["encoder/position_encodings/encodings"].shape[0],
        "n_audio_state": width,
        "n_audio_head": width // _HEAD_WIDTH,
        "n_audio_layer": layers["encoder"],
        "n_vocab": weights["decoder/embeddings/weight"].shape[0],
        "n_text_ctx": weights["decoder/position_encodings/encodings"].shape[0],
        "n_text_state": width,
        "n_text_head": width // _HEAD_WIDTH,
        "n_text_layer": layers["decoder"],
    }
    found: Weights = {
        "encoder.positional_embedding": weights["encoder/position_encodings/encodings"],
        "decoder.positional_embedding": weights["decoder/position_encodings/encodings"],
        "decoder.token_embedding.weight": weights["decoder/embeddings/weight"],
        **_norm(weights, "encoder/layer_norm", "encoder.ln_post"),
        **_norm(weights, "decoder/layer_norm", "decoder.ln"),
    }
    for name in ("conv1", "conv2"):
        found |= _linear(weights, f"encoder/{name}", f"encoder.{name}")
    for side, count in layers.items():
        for number in range(count):
            found |= _block(weights, f"{side}/layer_{number}", f"{side}.blocks.{number}")
    return found, dimensions


def _layers(weights: Weights, side: str) -> int:
    return sum(name.startswith(f"{side}/layer_") and name.endswith("/ffn/linear_0/weight") for name in weights)


def _norm(weights: Weights, name: str, new: str) -> Weights:
    return {f"{new}.weight": weights[f"{name}/gamma"], f"{new}.bias": weights[f"{name}/beta"]}


def _linear(weights: Weights, name: str, new: str) -> Weights:
    return {f"{new}.weight": weights[f"{name}/weight"], f"{new}.bias": weights[f"{name}/bias"]}


def _cut(weights: Weights, name: str, new: str, parts: tuple[str, ...]) -> Weights:
    found: Weights = {}
    for kind in ("weight", "bias"):
        for part, values in zip(parts, np.split(weights[f"{name}/{kind}"], len(parts)), strict=True):
            # Whisper's key projection has no bias; CTranslate2 fills it with zeros.
            if (kind, part) != ("bias", "key"):
                found[f"{new}.{part}.{kind}"] = values
    return found


def _block(weights: Weights, name: str, new: str) -> Weights:
    found = {
        **_norm(weights, f"{name}/self_attention/layer_norm", f"{new}.attn_ln"),
        **_cut(weights, f"{name}/self_attention/linear_0", f"{new}.attn", ("query", "key", "value")),
        **_linear(weights, f"{name}/self_attention/linear_1", f"{new}.attn.out"),
        **_norm(weights, f"{name}/ffn/layer_norm", f"{new}.mlp_ln"),
        **_linear(weights, f"{name}/ffn/linear_0", f"{new}.mlp.0"),
        **_linear(weights, f"{name}/ffn/linear_1", f"{new}.mlp.2"),
    }
    if f"{name}/attention/linear_0/weight" in weights:
        found |= _norm(weights, f"{name}/attention/layer_norm", f"{new}.cross_attn_ln")
        found |= _linear(weights, f"{name}/attention/linear_0", f"{new}.cross_attn.query")
        found |= _cut(weights, f"{name}/attention/linear_1", f"{new}.cross_attn", ("key", "value"))
        found |= _linear(weights, f"{name}/attention/linear_2", f"{new}.cross_attn.out")
    return found
