import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from llm.baichuan import ConversionError
from llm.baichuan.adapter import convert_adapter, is_adapter
from llm.baichuan.convert import convert
from llm.merge import merge_tensors, scale_of
from tests.llm.baichuan.conftest import Make
from tests.llm.baichuan.reference import logits


class Original(torch.nn.Module):
    """The names that PEFT sees in a Baichuan checkpoint, with its real matrices, so that its own code makes the adapter."""

    def __init__(self, tensors: dict[str, Any]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            if tensor.dim() == 2 and "layers" in name:
                *path, last, _ = name.split(".")
                at: torch.nn.Module = self
                for part in path:
                    if part not in dict(at.named_children()):
                        at.add_module(part, torch.nn.Module())
                    at = at.get_submodule(part)
                linear = torch.nn.Linear(tensor.shape[1], tensor.shape[0], bias=False)
                linear.weight.data = tensor.clone()
                at.add_module(last, linear)


def train(tensors: dict[str, Any], folder: Path, **options: Any) -> dict[str, Any]:
    """Save an adapter as PEFT does; returns the weights with it merged, by PEFT, too."""
    settings = {"r": 4, "lora_alpha": 12, "target_modules": ["W_pack", "down_proj"]} | options
    model = get_peft_model(Original(tensors), LoraConfig(**settings))
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder)
    merged = model.merge_and_unload()
    return tensors | {name: value for name, value in merged.state_dict().items() if name in tensors}


@pytest.mark.parametrize(
    "options", [{}, {"use_rslora": True}, {"rank_pattern": {"W_pack": 2}, "alpha_pattern": {"W_pack": 3}}]
)
def test_an_adapter_on_the_fused_matrix_fits_the_converted_model(
    checkpoint: Make, tmp_path: Path, options: dict[str, Any]
) -> None:
    original = checkpoint(2)
    merged = train(original.tensors, tmp_path / "lora", **options)
    convert(original.folder, tmp_path / "model")
    assert is_adapter(tmp_path / "lora") and not is_adapter(original.folder)
    config = convert_adapter(tmp_path / "lora", tmp_path / "split")
    assert config["target_modules"] == ["down_proj", "k_proj", "q_proj", "v_proj"]
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    model = PeftModel.from_pretrained(base, tmp_path / "split")
    ids = [7, 300, 5000, 42, 195, 3]
    with torch.inference_mode():
        found = model(torch.tensor([ids])).logits[0]
    expected = logits(merged, original.config, ids)
    assert (expected - logits(original.tensors, original.config, ids)).abs().max() > 0.1
    # float32 keeps seven digits, and where each sum is taken in another order, the last one or two differ.
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)


def test_the_split_adapter_merges_into_the_converted_weights(checkpoint: Make, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    original = checkpoint(1)
    merged = train(original.tensors, tmp_path / "lora")
    convert(original.folder, tmp_path / "model")
    config = convert_adapter(tmp_path / "lora", tmp_path / "split")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    merge_tensors(weights, load_file(tmp_path / "split" / "adapter_model.safetensors"), scale_of(config))
    expected = merged["model.layers.1.self_attn.W_pack.weight"].chunk(3)
    for letter, third in zip("qkv", expected, strict=True):
        torch.testing.assert_close(weights[f"model.layers.1.self_attn.{letter}_proj.weight"], third)


def test_a_pickled_adapter_is_read_without_running_it(checkpoint: Make, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    train(checkpoint(2).tensors, tmp_path / "lora")
    safe = tmp_path / "lora" / "adapter_model.safetensors"
    torch.save(load_file(safe), safe.with_suffix(".bin"))
    safe.unlink()
    convert_adapter(tmp_path / "lora", tmp_path / "split")
    assert (tmp_path / "split" / "adapter_model.safetensors").is_file()


def spoil_config(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def spoil_weights(change: Any) -> Any:
    def apply(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = folder / "adapter_model.safetensors"
        save_file(change(load_file(path)), path)

    return apply


BAD = {
    "use_dora is True": spoil_config(use_dora=True),
    "peft_type is 'IA3'": spoil_config(peft_type="IA3"),
    "modules_to_save": spoil_config(modules_to_save=["lm_head"]),
    "does not list W_pack": spoil_config(target_modules="all-linear"),
    "neither": lambda folder: (folder / "adapter_model.safetensors").unlink(),
    "not W_pack's": spoil_weights(lambda found: {n: t[:-3] if "W_pack.lora_B" in n else t for n, t in found.items()}),
    "nothing on W_pack": spoil_weights(lambda found: {n: t for n, t in found.items() if "W_pack" not in n}),
    "not a factor": spoil_weights(lambda found: found | {"base_model.model.lm_head.weight": torch.ones(2)}),
}


@pytest.mark.parametrize("reason", BAD)
def test_what_is_no_plain_lora_on_the_fused_matrix_is_refused(checkpoint: Make, tmp_path: Path, reason: str) -> None:
    train(checkpoint(2).tensors, tmp_path / "lora")
    BAD[reason](tmp_path / "lora")
    with pytest.raises(ConversionError, match=reason):
        convert_adapter(tmp_path / "lora", tmp_path / "split")
    assert not list(tmp_path.glob("*split*"))
