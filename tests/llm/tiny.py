"""A model of two layers with random weights and a byte-level tokenizer: what training, merging and loading need, in no time."""

import json
from pathlib import Path
from typing import Any

from llm.adapters import CARD, WEIGHTS, Adapter, file_digest, load_adapter
from llm.baichuan.convert import MANIFEST

TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_tiny_model(folder: Path, width: int = 32, number_type: str = "bfloat16") -> None:
    """Write it as a folder that transformers loads; the three labels are one token each, as in the real tokenizer.

    vLLM's attention on a CPU wants a width of 128 or more (heads of 32).
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer: Any = Tokenizer(models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(["negative", "neutral", "positive"])
    tokenizer.add_special_tokens(
        ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    )  # the last is added at loading otherwise
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=TEMPLATE)
    fast.save_pretrained(folder)
    torch.manual_seed(5)
    config = Qwen2Config(
        vocab_size=len(fast), hidden_size=width, intermediate_size=2 * width, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=4096, tie_word_embeddings=False,
    )  # fmt: skip
    Qwen2ForCausalLM(config).to(getattr(torch, number_type)).save_pretrained(folder)


def write_manifest(folder: Path) -> None:
    """The hashes of a model's files, as a conversion leaves them."""
    files = {path.name: {"sha256": file_digest(path)} for path in folder.iterdir()}
    (folder / MANIFEST).write_text(json.dumps({"files": files}))


def write_adapter(folder: Path, base: Path, seed: int) -> Adapter:
    """A LoRA on the tiny model with weights that change its answers, as training leaves one; with its card."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = get_peft_model(plain, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "v_proj", "down_proj"]))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    model.save_pretrained(folder)
    card = {
        "name": folder.name, "base": {"name": "tiny", "sha256": file_digest(base / "model.safetensors")},
        "prompt_version": "analysis-v1", "sha256": file_digest(folder / WEIGHTS), "metrics": {"dev": {"accuracy": 0.5}},
    }  # fmt: skip
    (folder / CARD).write_text(json.dumps(card))
    return load_adapter(str(folder))
