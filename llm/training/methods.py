"""What is trained: a LoRA, one on a quantised base, or virtual tokens."""

import importlib.metadata
from pathlib import Path
from typing import Any

from llm.adapters import WEIGHTS
from llm.training.base import load_base
from llm.training.config import VIRTUAL, RunConfig
from llm.training.samples import TrainingError


def check_hardware(config: RunConfig) -> None:
    """Raises TrainingError when the method needs what this machine does not have: before a model is loaded."""
    import torch

    if config.method != "qlora":
        return
    if not torch.cuda.is_available():
        raise TrainingError(
            "method: qlora needs a CUDA GPU; this machine has none", cure="use method: lora here, or a GPU machine"
        )
    try:
        importlib.metadata.version("bitsandbytes")
    except importlib.metadata.PackageNotFoundError:
        raise TrainingError("method: qlora needs bitsandbytes", cure="pip install bitsandbytes") from None


def load_with_adapter(folder: Path, config: RunConfig) -> tuple[Any, Any]:
    """The base with the run's adapter (a PeftModel), and the tokenizer. Raises TrainingError."""
    import torch
    from peft import (
        LoraConfig,
        PrefixTuningConfig,
        PromptEncoderConfig,
        get_peft_model,
        prepare_model_for_kbit_training,
    )

    check_hardware(config)
    options: dict[str, Any] = {"dtype": torch.bfloat16 if config.bf16 or config.method == "qlora" else torch.float32}
    if config.method == "qlora":
        from transformers import BitsAndBytesConfig

        # NF4, double quantisation, bf16 arithmetic: Dettmers et al. 2023 (QLoRA).
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )  # fmt: skip
    model, tokenizer = load_base(folder, **options)
    model.config.use_cache = False
    if config.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=config.gradient_checkpointing)
    layers = model.config.num_hidden_layers
    wanted: Any
    if config.method in VIRTUAL:
        kind = PromptEncoderConfig if config.method == "p-tuning" else PrefixTuningConfig
        more = {"encoder_hidden_size": model.config.hidden_size} if config.method == "p-tuning" else {}
        wanted = kind(task_type="CAUSAL_LM", num_virtual_tokens=config.virtual_tokens, **more)
    else:
        first = max(0, layers - config.last_layers) if config.last_layers else 0
        wanted = LoraConfig(
            r=config.rank, lora_alpha=config.alpha, lora_dropout=config.dropout, target_modules=list(config.targets),
            layers_to_transform=list(range(first, layers)), task_type="CAUSAL_LM",
        )  # fmt: skip
    try:
        wrapped = get_peft_model(model, wanted)
    except ValueError as error:
        raise TrainingError(
            f"the base model cannot be adapted: {str(error).splitlines()[0]}", cure="see method, targets, last_layers"
        ) from None
    if config.start is not None:
        begin_with(wrapped, config.start)
    return wrapped, tokenizer


def begin_with(wrapped: Any, folder: Path) -> None:
    """Give the fresh adapter the weights of another. Raises TrainingError when it is of another shape."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    if not (folder / WEIGHTS).is_file():
        raise TrainingError(f"start: {folder} holds no adapter", cure="name the folder of a trained one")
    factors = load_file(folder / WEIGHTS)
    shapes = {name: tensor.shape for name, tensor in get_peft_model_state_dict(wrapped).items()}
    if shapes != {name: tensor.shape for name, tensor in factors.items()}:
        raise TrainingError(
            f"the adapter {folder} is not of this run's rank, layers and matrices",
            cure="train with its own configuration, or begin without it",
        )
    set_peft_model_state_dict(wrapped, factors)


def save_adapter(model: Any, out: Path) -> None:
    """PEFT's two files, the weights in bf16, the configuration last. Raises TrainingError when they cannot be written."""
    import torch
    from peft import get_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # Of p-tuning and prefix tuning the virtual tokens alone, without what computed them.
    factors = {
        name: tensor.detach().to("cpu", torch.bfloat16).contiguous()
        for name, tensor in get_peft_model_state_dict(model).items()
    }
    try:
        save_file(factors, out / WEIGHTS, metadata={"format": "pt"})
        model.peft_config["default"].save_pretrained(out)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"the adapter cannot be written to {out}: {error}", cure="make room on the disk and start again"
        ) from error
