"""A converted checkpoint behind vLLM, bare, with an adapter loaded at run time, and with the adapter merged."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm.baichuan.convert import convert
from llm.merge import merge_tensors, scale_of
from tests.llm.baichuan.conftest import Make
from tests.llm.baichuan.reference import logits
from tests.own_port import own_port
from yuqing.embedded import ports, processes, vllm
from yuqing.settings import load_settings

KEY = "key-of-the-tests"
CHAT = [{"role": "user", "content": "格力电器捐赠1000万元，利好还是利空？"}]
ANSWER = "利好。"


@contextmanager
def serving(model: Path, log: Path, *options: str) -> Iterator[str]:
    """vLLM with the project's own command line; yields its address once it answers."""
    everything = load_settings()
    settings = everything.llm.model_copy(update={"max_model_len": 512})
    port = own_port()
    command = [*vllm.command(model, ports.HOST, port, settings), "--dtype", "float32", *options]
    environment = vllm.environment(KEY, settings) | {"VLLM_ALLOW_RUNTIME_LORA_UPDATING": "true"}
    with log.open("wb") as output:
        child = processes.start(command, environment=environment, output=output)
    url = f"http://{ports.HOST}:{port}/v1"
    try:
        deadline = time.monotonic() + everything.embedded.llm_start_timeout_s
        while not vllm.is_ready(url, KEY, settings.model):
            assert child.poll() is None and time.monotonic() < deadline, log.read_text()[-4000:]
            time.sleep(1)
        yield url
    finally:
        processes.stop(child, 15, 20)


def ask(url: str, path: str, body: dict[str, Any]) -> Any:
    answer = httpx.post(
        f"{url}{path}", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=120, trust_env=False
    )
    assert answer.status_code == 200, answer.text
    return answer.json() if "json" in answer.headers.get("content-type", "") else answer.text


def told(url: str, model: str, ids: list[int]) -> tuple[torch.Tensor, list[int]]:
    """Log-probabilities of the prompt's own tokens (from the second on), and eight greedy tokens after it."""
    body = {"model": model, "prompt": ids, "max_tokens": 8, "temperature": 0, "prompt_logprobs": 0}
    choice = ask(url, "/completions", body | {"return_token_ids": True, "ignore_eos": True})["choices"][0]
    pairs = zip(choice["prompt_logprobs"][1:], ids[1:], strict=True)
    return torch.tensor([entry[str(token)]["logprob"] for entry, token in pairs]), choice["token_ids"]


def expected(rows: torch.Tensor, ids: list[int]) -> torch.Tensor:
    """The same log-probabilities from logits (length, words)."""
    return rows.log_softmax(-1)[range(len(ids) - 1), ids[1:]]


def greedy(model: Any, ids: list[int]) -> list[int]:
    with torch.inference_mode():
        found = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids)),
            max_new_tokens=8,
            min_new_tokens=8,
            do_sample=False,
        )
    return list(map(int, found[0, len(ids) :]))


@pytest.mark.slow
@pytest.mark.service
@pytest.mark.timeout(1200)  # two starts of vLLM
def test_the_converted_model_and_an_adapter_are_served_at_run_time_and_merged(checkpoint: Make, tmp_path: Path) -> None:
    # 32 is the smallest head that vLLM's attention on a CPU knows.
    original = checkpoint(2, hidden_size=128, intermediate_size=344)
    base, adapter, merged = (tmp_path / name for name in ("base", "adapter", "merged"))
    convert(original.folder, base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True)["input_ids"]
    ids += tokenizer(ANSWER)["input_ids"]

    # An adapter learns the answer, on all projections of the converted model.
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    torch.manual_seed(4)
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    plain_greedy = greedy(plain, ids)
    model = get_peft_model(plain, LoraConfig(r=8, lora_alpha=16, target_modules=names))
    optimiser = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = model(torch.tensor([ids]), labels=torch.tensor([ids])).loss
        losses.append(loss.item())
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < losses[0] - 0.5
    model.save_pretrained(adapter)
    model.eval()
    with torch.inference_mode():
        tuned = expected(model(torch.tensor([ids])).logits[0], ids)
    tuned_greedy = greedy(model, ids)

    shutil.copytree(base, merged)
    weights = load_file(base / "model.safetensors")
    merge_tensors(weights, load_file(adapter / "adapter_model.safetensors"), scale_of({"r": 8, "lora_alpha": 16}))
    save_file(weights, merged / "model.safetensors", metadata={"format": "pt"})

    options = ("--enable-lora", "--max-lora-rank", "8")
    with serving(base, tmp_path / "base.log", *options) as url:
        bare, bare_greedy = told(url, "yuqing", ids)
        ask(url, "/load_lora_adapter", {"lora_name": "tuned", "lora_path": str(adapter)})
        beside, beside_greedy = told(url, "tuned", ids)
        again, _ = told(url, "yuqing", ids)
        reply = ask(url, "/chat/completions", {"model": "yuqing", "messages": CHAT, "max_tokens": 1})
    reference = expected(logits(original.tensors, original.config, ids), ids)
    torch.testing.assert_close(bare, reference, rtol=0, atol=1e-4)
    torch.testing.assert_close(again, bare, rtol=0, atol=1e-5)
    assert bare_greedy == plain_greedy
    asked = tokenizer.apply_chat_template(CHAT, add_generation_prompt=True)["input_ids"]
    assert reply["usage"]["prompt_tokens"] == len(asked)
    assert (tuned - reference).abs().max() > 0.5
    torch.testing.assert_close(beside, tuned, rtol=0, atol=1e-4)
    assert beside_greedy == tuned_greedy != plain_greedy

    with serving(merged, tmp_path / "merged.log") as url:
        whole, whole_greedy = told(url, "yuqing", ids)
    torch.testing.assert_close(whole, beside, rtol=0, atol=1e-4)
    assert whole_greedy == beside_greedy
