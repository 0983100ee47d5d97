import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm.baichuan import ConversionError
from llm.baichuan.convert import MANIFEST, check_converted, convert
from llm.baichuan.shape import tensor_shapes
from llm.baichuan.weights import shards
from tests.llm.baichuan.conftest import Make
from tests.llm.baichuan.reference import logits

TEXT = "格力电器昨日向灾区捐赠1000万元，当地政府表示感谢。"


@pytest.mark.parametrize(("generation", "safe"), [(1, False), (2, True)])
def test_the_converted_model_computes_what_the_original_does(
    checkpoint: Make, tmp_path: Path, generation: int, safe: bool
) -> None:
    original = checkpoint(generation, safe=safe)
    target = tmp_path / "converted"
    convert(original.folder, target, shard_bytes=300_000)
    assert len(list(target.glob("model-*.safetensors"))) > 2, "several files were meant to be written"
    tokenizer = AutoTokenizer.from_pretrained(target)
    ids = tokenizer(TEXT)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(target, dtype=torch.float32)
    assert type(model).__name__ == "LlamaForCausalLM"
    with torch.inference_mode():
        found = model(torch.tensor([ids])).logits[0]
    expected = logits(original.tensors, original.config, ids)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert model.config.max_position_embeddings == 512
    assert model.config.rms_norm_eps == 1e-6
    assert model.config.rope_parameters["rope_theta"] == 10_000
    assert (model.config.bos_token_id, model.config.eos_token_id, model.config.pad_token_id) == (1, 2, 0)


def test_the_generations_differ_in_their_last_layer(checkpoint: Make, tmp_path: Path) -> None:
    original = checkpoint(2)
    convert(original.folder, tmp_path / "converted")
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "converted" / "model.safetensors")
    lengths = original.tensors["lm_head.weight"].norm(dim=1)
    assert lengths.min() < 0.5 < 1 < lengths.max(), "the stand-in must be able to tell"
    torch.testing.assert_close(tensors["lm_head.weight"].norm(dim=1), torch.ones(len(lengths)))


def test_numbers_keep_their_type_and_the_last_layer_is_rounded_once(checkpoint: Make, tmp_path: Path) -> None:
    original = checkpoint(2, number_type="bfloat16")
    convert(original.folder, tmp_path / "converted")
    from safetensors.torch import load_file

    tensors = load_file(tmp_path / "converted" / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    exact = torch.nn.functional.normalize(original.tensors["lm_head.weight"].double())
    assert ((tensors["lm_head.weight"].double() - exact).abs() <= exact.abs() * 2**-8 + 1e-12).all()
    fused = original.tensors["model.layers.1.self_attn.W_pack.weight"]
    assert torch.equal(tensors["model.layers.1.self_attn.k_proj.weight"], fused[64:128])
    config = json.loads((tmp_path / "converted" / "config.json").read_text())
    assert config["torch_dtype"] == "bfloat16" and config["architectures"] == ["LlamaForCausalLM"]


def test_the_manifest_knows_every_file_and_a_second_run_checks_them(checkpoint: Make, tmp_path: Path) -> None:
    original, target = checkpoint(2), tmp_path / "converted"
    manifest = convert(original.folder, target)
    assert set(manifest["files"]) | {MANIFEST} == {path.name for path in target.iterdir()}
    assert {"config.json", "tokenizer.model", "pytorch_model-00002-of-00002.bin"} <= set(manifest["source"]["files"])
    assert manifest["texts_compared_with_sentencepiece"] > 5
    assert convert(original.folder, target) == manifest
    with pytest.raises(ConversionError, match="made of another checkpoint"):
        convert(checkpoint(1).folder, target)
    with (target / "model.safetensors").open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    with pytest.raises(ConversionError, match="not what was written"):
        check_converted(target)
    (tmp_path / "other").mkdir()
    with pytest.raises(ConversionError, match="not the result of a conversion"):
        convert(original.folder, tmp_path / "other")


def test_the_command_converts_and_says_what_it_did(checkpoint: Make, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "yuqing", "llm", "convert-baichuan"]
    done = subprocess.run(
        [*command, str(checkpoint(1).folder), str(tmp_path / "converted")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Baichuan-7B" in done.stdout
    check_converted(tmp_path / "converted")
    refused = subprocess.run(
        [*command, str(tmp_path), str(tmp_path / "x")], capture_output=True, text=True, timeout=120
    )
    assert refused.returncode == 2 and "config.json is missing" in refused.stderr and "Traceback" not in refused.stderr


def test_files_of_the_true_size_are_cut_where_they_should_be() -> None:
    from llm.baichuan.shape import Shape

    seven = Shape(architectures=["BaichuanForCausalLM"], vocab_size=125_696)
    numbers = sum(shape[0] * (shape[1] if len(shape) > 1 else 1) for shape in tensor_shapes(seven).values())
    assert numbers == 7_505_973_248
    plan = shards(seven, 2)
    assert 14 <= len(plan) <= 20
    assert sum(part.stop - part.start for file in plan for part in file) == sum(
        shape[0] for shape in tensor_shapes(seven).values()
    )
