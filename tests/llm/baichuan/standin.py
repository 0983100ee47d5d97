"""Checkpoints of the true layout with random weights, small width, and a tokenizer trained with Baichuan's flags."""

import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

WORDS = 6000
# Pieces 195 and 196 open the turns. What stands before them is of the same kinds as in the originals: runs of white
# space and tags; only the numbers of <reserved_...> at those places are known.
_SYMBOLS = ("\n", "\t", *("▁" * length for length in (2, 3, 4, 8, 16)), "<h1>", "</h1>", "<td>")
_FIRST_RESERVED = {1: 93, 2: 89}


def train_tokenizer(
    path: Path, texts: Iterable[str], *, generation: int = 2, prefix: bool = False, **others: Any
) -> None:
    """Write tokenizer.model: byte-pair encoding, bytes for rare characters, single digits, no normalisation, as published."""
    from sentencepiece import SentencePieceTrainer

    fill = [f"<filler_{number}>" for number in range(_FIRST_RESERVED[generation] - 3 - len(_SYMBOLS))]
    model = io.BytesIO()
    flags: dict[str, Any] = {
        "model_type": "bpe", "vocab_size": WORDS, "byte_fallback": True, "split_digits": True,
        "normalization_rule_name": "identity", "add_dummy_prefix": prefix, "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True, "max_sentencepiece_length": 32, "character_coverage": 0.9999,
        "user_defined_symbols": [*_SYMBOLS, *fill, *(f"<reserved_{number}>" for number in range(200))],
        "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1, "num_threads": 1, "minloglevel": 2,
    } | others  # fmt: skip
    SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=model, **flags)
    path.write_bytes(model.getvalue())


def config_of(generation: int, **changes: Any) -> dict[str, Any]:
    """config.json with the published fields, narrow."""
    own = (
        {"architectures": ["BaiChuanForCausalLM"]}
        if generation == 1
        else {"architectures": ["BaichuanForCausalLM"], "model_max_length": 512, "z_loss_weight": 0}
    )
    shape = {
        "vocab_size": WORDS, "hidden_size": 64, "intermediate_size": 172, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "hidden_act": "silu",
    }  # fmt: skip
    ids = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    automatic = {"AutoModelForCausalLM": "modeling_baichuan.BaichuanForCausalLM"}
    fixed = {"model_type": "baichuan", "auto_map": automatic, "tie_word_embeddings": False, "torch_dtype": "float32"}
    return own | shape | ids | fixed | changes


def random_weights(config: dict[str, Any], seed: int = 1) -> dict[str, torch.Tensor]:
    """The checkpoint's tensors; wide enough spread that attention and norms matter, rows of the last matrix of all lengths."""
    generator = torch.Generator().manual_seed(seed)
    hidden, inner, words = config["hidden_size"], config["intermediate_size"], config["vocab_size"]

    def matrix(rows: int, columns: int, spread: float = 1.0) -> torch.Tensor:
        return torch.randn(rows, columns, generator=generator) * spread / columns**0.5

    def norm() -> torch.Tensor:
        return 1 + torch.randn(hidden, generator=generator) * 0.2

    tensors = {"model.embed_tokens.weight": matrix(words, hidden, 8)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        tensors |= {
            f"{at}self_attn.W_pack.weight": matrix(3 * hidden, hidden, 2),
            f"{at}self_attn.o_proj.weight": matrix(hidden, hidden),
            f"{at}mlp.gate_proj.weight": matrix(inner, hidden),
            f"{at}mlp.up_proj.weight": matrix(inner, hidden),
            f"{at}mlp.down_proj.weight": matrix(hidden, inner),
            f"{at}input_layernorm.weight": norm(),
            f"{at}post_attention_layernorm.weight": norm(),
        }
        if config["architectures"] == ["BaiChuanForCausalLM"]:  # its published code keeps them in the state
            size = hidden // config["num_attention_heads"]
            tensors[f"{at}self_attn.rotary_emb.inv_freq"] = 1 / 10_000 ** (torch.arange(0, size, 2).float() / size)
    lengths = torch.rand(words, 1, generator=generator) * 1.2 + 0.2
    return tensors | {"model.norm.weight": norm(), "lm_head.weight": matrix(words, hidden) * lengths}


def save_checkpoint(
    folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor], tokenizer: bytes, *, safe: bool = False
) -> None:
    """Write it as published: two files with an index, and the tokenizer's configuration."""
    folder.mkdir(parents=True)
    names = list(tensors)
    kind = "model-{}-of-00002.safetensors" if safe else "pytorch_model-{}-of-00002.bin"
    weight_map = {}
    for number, part in enumerate((names[: len(names) // 2], names[len(names) // 2 :]), start=1):
        file = kind.format(f"{number:05d}")
        chosen = {name: tensors[name] for name in part}
        if safe:
            from safetensors.torch import save_file

            save_file(chosen, folder / file)
        else:
            torch.save(chosen, folder / file)
        weight_map |= dict.fromkeys(part, file)
    index = "model.safetensors.index.json" if safe else "pytorch_model.bin.index.json"
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.model").write_bytes(tokenizer)
    told = {"tokenizer_class": "BaichuanTokenizer", "add_bos_token": False, "add_eos_token": False, "use_fast": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(told))
    if config["architectures"] == ["BaichuanForCausalLM"]:
        generation = {"user_token_id": 195, "assistant_token_id": 196, "temperature": 0.3, "do_sample": True}
        (folder / "generation_config.json").write_text(json.dumps(generation))
