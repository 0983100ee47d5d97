"""Whisper from a CTranslate2 folder, which serves, to a transformers folder, which learns, and back."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asr.ctranslate2_weights import WeightsError, read_whisper_weights

# Files that a served model needs and a converter does not make: the tokenizer, and the number of mel bins.
_BESIDE = ("tokenizer.json", "preprocessor_config.json")
_END, _START = "<|endoftext|>", "<|startoftranscript|>"


def layers_of(weights: dict[str, NDArray[Any]], half: str) -> int:
    """How many layers the encoder or the decoder has."""
    return len({name.split("/")[1] for name in weights if name.startswith(f"{half}/layer_") and name.count("/") > 2})


def state_dict(weights: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The tensors under the names of transformers: the fused q, k and v (and k and v) come apart; k has no bias there."""
    state = {"model.decoder.embed_tokens.weight": weights["decoder/embeddings/weight"]}
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            state[f"model.encoder.{conv}.{part}"] = weights[f"encoder/{conv}/{part}"]
    for half in ("encoder", "decoder"):
        state[f"model.{half}.embed_positions.weight"] = weights[f"{half}/position_encodings/encodings"]
        _layer_norm(weights, f"{half}/layer_norm", f"model.{half}.layer_norm", state)
        for number in range(layers_of(weights, half)):
            source, target = f"{half}/layer_{number}", f"model.{half}.layers.{number}"
            attentions = {"self_attention": "self_attn"} | ({"attention": "encoder_attn"} if half == "decoder" else {})
            for fused, name in attentions.items():
                _attention(weights, f"{source}/{fused}", f"{target}.{name}", state)
            _layer_norm(weights, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm", state)
            for linear, name in (("linear_0", "fc1"), ("linear_1", "fc2")):
                for part in ("weight", "bias"):
                    state[f"{target}.{name}.{part}"] = weights[f"{source}/ffn/{linear}/{part}"]
    return state


def _layer_norm(weights: dict[str, NDArray[Any]], source: str, target: str, state: dict[str, NDArray[Any]]) -> None:
    state[f"{target}.weight"], state[f"{target}.bias"] = weights[f"{source}/gamma"], weights[f"{source}/beta"]


def _attention(weights: dict[str, NDArray[Any]], source: str, target: str, state: dict[str, NDArray[Any]]) -> None:
    fused = ("linear_0",) if source.endswith("self_attention") else ("linear_0", "linear_1")
    for part in ("weight", "bias"):
        q, k, v = np.split(np.concatenate([weights[f"{source}/{linear}/{part}"] for linear in fused]), 3)
        state[f"{target}.q_proj.{part}"], state[f"{target}.v_proj.{part}"] = q, v
        if part == "weight":
            state[f"{target}.k_proj.weight"] = k
        state[f"{target}.out_proj.{part}"] = weights[f"{source}/linear_{len(fused)}/{part}"]
    _layer_norm(weights, f"{source}/layer_norm", f"{target}_layer_norm", state)


def special_tokens(folder: Path) -> dict[str, int]:
    """The ids of the tokens that are no text, such as <|zh|>, by the folder's tokenizer. Raises WeightsError."""
    try:
        tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
        return {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{folder} has no tokenizer.json that can be read: {error}", cure="fetch it again") from None


def load_model(folder: Path) -> Any:
    """A transformers Whisper in float32 from a CTranslate2 folder, with the generation options of the latter's config.

    Raises WeightsError.
    """
    import torch
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    weights, tokens = read_whisper_weights(folder), special_tokens(folder)
    options = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    end, start = tokens[_END], tokens[_START]
    vocabulary, width = weights["decoder/embeddings/weight"].shape
    config = WhisperConfig(
        vocab_size=vocabulary,
        num_mel_bins=weights["encoder/conv1/weight"].shape[1],
        d_model=width,
        encoder_layers=layers_of(weights, "encoder"),
        decoder_layers=layers_of(weights, "decoder"),
        encoder_attention_heads=int(weights["encoder/num_heads"]),
        decoder_attention_heads=int(weights["decoder/num_heads"]),
        encoder_ffn_dim=weights["encoder/layer_0/ffn/linear_0/weight"].shape[0],
        decoder_ffn_dim=weights["decoder/layer_0/ffn/linear_0/weight"].shape[0],
        max_source_positions=weights["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=weights["decoder/position_encodings/encodings"].shape[0],
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
    )
    model: Any = WhisperForConditionalGeneration(config)
    state = {name: torch.from_numpy(np.array(values, np.float32)) for name, values in state_dict(weights).items()}
    missing, unknown = model.load_state_dict(state, strict=False)
    if unknown or set(missing) - {"proj_out.weight"}:  # which is the embeddings
        raise WeightsError(f"{folder} is no Whisper that transformers knows: {[*missing, *unknown][:3]}")
    model.tie_weights()
    model.generation_config = GenerationConfig(
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
        decoder_start_token_id=start,
        max_length=config.max_target_positions,
        suppress_tokens=options["suppress_ids"],
        begin_suppress_tokens=options["suppress_ids_begin"],
        alignment_heads=options["alignment_heads"],
        lang_to_id={name: number for name, number in tokens.items() if number in set(options["lang_ids"])},
        task_to_id={task: tokens[f"<|{task}|>"] for task in ("transcribe", "translate")},
        no_timestamps_token_id=tokens["<|notimestamps|>"],
        is_multilingual=True,
    )
    return model


def save_served(model: Any, base: Path, target: Path) -> None:
    """Write the model as a CTranslate2 folder (float16), with what stands beside the weights in the base's folder."""
    from tempfile import TemporaryDirectory

    from ctranslate2.converters import TransformersConverter
    from transformers import WhisperFeatureExtractor

    with TemporaryDirectory(prefix="yuqing-asr-", dir=target.parent) as name:
        folder = Path(name)
        model.save_pretrained(folder)
        shutil.copy2(base / "tokenizer.json", folder)
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "WhisperTokenizerFast"}')
        WhisperFeatureExtractor(feature_size=model.config.num_mel_bins).save_pretrained(folder)
        made = folder / "served"
        TransformersConverter(str(folder), copy_files=list(_BESIDE)).convert(str(made), quantization="float16")
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
