"""Merging: the arithmetic against PEFT's own, and what is refused."""

import json
from pathlib import Path

import pytest

from llm.adapters import AdapterError, check_base, file_digest, load_adapter
from llm.merge import merge_tensors, scale_of
from llm.training.run import with_adapter
from llm.training.samples import TrainConfig


def _write_adapter(folder: Path, **card: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    (folder / "adapter_config.json").write_text(json.dumps({"r": 8, "lora_alpha": 16}))
    shown = {"sha256": file_digest(folder / "adapter_model.safetensors"), "prompt_version": "analysis-v1"}
    (folder / "card.json").write_text(json.dumps(shown | {"base": {"sha256": "b" * 64}} | card))


def test_an_adapter_is_read_with_its_card(tmp_path: Path) -> None:
    _write_adapter(tmp_path / "mine")
    adapter = load_adapter(str(tmp_path / "mine"))
    assert (adapter.name, adapter.prompt_version, scale_of(adapter.config)) == ("mine", "analysis-v1", 2.0)
    check_base(adapter, "b" * 64)
    with pytest.raises(AdapterError, match="was trained on the base bbbb"):
        check_base(adapter, "c" * 64)


def test_a_damaged_adapter_is_refused(tmp_path: Path) -> None:
    _write_adapter(tmp_path / "mine", sha256="0" * 64)
    with pytest.raises(AdapterError, match="its card says 0000"):
        load_adapter(str(tmp_path / "mine"))


def test_an_unknown_adapter_is_said_with_those_that_exist() -> None:
    with pytest.raises(AdapterError, match="no adapter nonsense") as caught:
        load_adapter("nonsense")
    assert "inews-v2" in caught.value.cure


def test_the_shipped_adapter_is_whole_and_small() -> None:
    adapter = load_adapter("inews-v2")
    assert (adapter.folder / "adapter_model.safetensors").stat().st_size < 10 * 2**20
    assert "weak" in adapter.card["labels"]["companies"]


def test_an_adapter_of_another_shape_is_refused() -> None:
    import torch

    lora = {"base_model.model.x.lora_A.weight": torch.ones(2, 3), "base_model.model.x.lora_B.weight": torch.ones(5, 2)}
    with pytest.raises(AdapterError, match="does not fit"):
        merge_tensors({"x.weight": torch.ones(4, 3)}, lora, 1.0)
    with pytest.raises(AdapterError, match="counterpart"):
        merge_tensors({"y.weight": torch.ones(5, 3)}, lora, 1.0)
    with pytest.raises(AdapterError, match="cannot be merged"):
        merge_tensors(
            {"x.weight": torch.ones(5, 3)}, {**lora, "base_model.model.x.modules_to_save": torch.ones(1)}, 1.0
        )


@pytest.mark.slow
def test_merged_weights_answer_as_the_base_with_the_adapter_beside_it(tmp_path: Path) -> None:
    import torch
    from peft import get_peft_model_state_dict
    from transformers import AutoModelForCausalLM

    from tests.llm.tiny import save_tiny_model

    save_tiny_model(tmp_path)
    model = with_adapter(
        AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32), TrainConfig(last_layers=1)
    )
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.inference_mode():
        expected = model(ids).logits
        plain = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        before = plain(ids).logits
        weights = plain.state_dict()
        merge_tensors(weights, get_peft_model_state_dict(model), scale_of({"r": 8, "lora_alpha": 16}))
        plain.load_state_dict(weights)
        merged = plain(ids).logits
    assert torch.allclose(merged, expected, atol=1e-5)
    assert not torch.allclose(before, expected, atol=1e-3)
