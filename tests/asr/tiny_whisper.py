"""A Whisper of one layer with random weights and a tokenizer of bytes, as a CTranslate2 folder: what training needs, in no time."""

import json
from pathlib import Path
from typing import Any

LANGUAGES = ("en", "zh")
SPECIAL = [
    "<|endoftext|>",
    "<|startoftranscript|>",
    *(f"<|{language}|>" for language in LANGUAGES),
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nocaptions|>",
    "<|notimestamps|>",
]
TIMESTAMPS = 1501


def save_tiny_whisper(folder: Path, mel_bins: int = 80) -> Any:
    """Write it and return it as the transformers model that it was."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    from asr.transformers_model import save_served

    base = folder.with_name(folder.name + "-tokenizer")
    base.mkdir(parents=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer: Any = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.save(str(base / "tokenizer.json"))
    ids = {name: tokenizer.token_to_id(name) for name in SPECIAL}
    torch.manual_seed(5)
    ends = dict.fromkeys(("bos_token_id", "eos_token_id", "pad_token_id"), ids["<|endoftext|>"])
    start = ids["<|startoftranscript|>"]
    config = WhisperConfig(
        vocab_size=len(alphabet) + len(SPECIAL) + TIMESTAMPS, num_mel_bins=mel_bins, d_model=32, encoder_layers=1,
        decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64, decoder_ffn_dim=64,
        max_target_positions=448, decoder_start_token_id=start, **ends,
    )  # fmt: skip
    model: Any = WhisperForConditionalGeneration(config)
    model.half().float()  # numbers that 16 bits hold
    model.generation_config = GenerationConfig(
        decoder_start_token_id=start, max_length=448, suppress_tokens=[1, 2], begin_suppress_tokens=[3, start],
        alignment_heads=[[0, 0], [0, 1]], lang_to_id={f"<|{name}|>": ids[f"<|{name}|>"] for name in LANGUAGES},
        task_to_id={name: ids[f"<|{name}|>"] for name in ("transcribe", "translate")}, is_multilingual=True,
        no_timestamps_token_id=ids["<|notimestamps|>"], **ends,
    )  # fmt: skip
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_served(model, base, folder)
    assert json.loads((folder / "config.json").read_text())["lang_ids"] == [ids["<|en|>"], ids["<|zh|>"]]
    return model
