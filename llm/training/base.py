"""The model that a run begins with, and what must hold of it."""

import sys
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from llm.training.samples import TrainingError


def check_base(folder: Path) -> None:
    """Raises TrainingError when the folder is no whole model: no config.json, no weights, or no tokenizer."""
    if not folder.is_dir():
        raise TrainingError(
            f"there is no base model in {folder}", cure="name a model of `yuqing models list`, or a folder"
        )
    for name, patterns in (
        ("config.json", ["config.json"]),
        ("weights", ["*.safetensors"]),
        ("tokenizer", ["tokenizer.json", "tokenizer.model"]),
    ):
        if not any(path for pattern in patterns for path in folder.glob(pattern)):
            raise TrainingError(
                f"the base model in {folder} has no {name}",
                cure="fetch it again (`yuqing models pull`), or convert it (`yuqing llm convert-baichuan`)",
            )


def no_bars_in_files() -> None:
    """Have transformers draw the progress of loading on a terminal alone."""
    from transformers.utils.logging import disable_progress_bar

    if not sys.stderr.isatty():
        disable_progress_bar()


def load_base(folder: Path, **options: Any) -> tuple[Any, Any]:
    """The causal model and its tokenizer; nothing of the folder is executed. Raises TrainingError with the reason."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    no_bars_in_files()
    check_base(folder)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, **options)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise TrainingError(
            f"the base model in {folder} cannot be loaded: {reason}", cure="fetch or convert it again"
        ) from error
    rows = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > rows:
        raise TrainingError(
            f"the tokenizer in {folder} has {len(tokenizer)} tokens, the model {rows}: it is that of another model",
            cure="put the model's own tokenizer there",
        )
    if not tokenizer.chat_template or tokenizer.eos_token_id is None:
        missing = "chat template" if not tokenizer.chat_template else "token for the end"
        raise TrainingError(f"the tokenizer in {folder} has no {missing}", cure="use a chat model, or give it one")
    return model, tokenizer
