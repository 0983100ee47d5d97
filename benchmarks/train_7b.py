"""LoRA steps at Baichuan-7B's shape with random weights: tokens a second, memory, and model FLOP utilisation.

    python benchmarks/train_7b.py [--tiny] [--steps N] [--compile]

Prints one JSON line: {"device", "shape", "parameters", "matrix_tflops", "stock", "batched", "qlora"}, the last three as
{"tokens_s", "padding", "peak_gib", "mfu"}. All train the same rank-8 adapter on all projections of all layers, in bf16 on a GPU, on
made-up samples as long as the product's (a question of 150 to 600 tokens and an answer of 20 to 140). `stock` is transformers'
Trainer with its defaults: eight samples a step as they come, padded to the longest, the last matrix applied to every token.
`batched` takes samples of like length, 4,096 tokens a step, and applies the last matrix where an answer is predicted; `qlora` is
the same with the frozen matrices in four bits (nf4, double quantisation), where bitsandbytes is installed.

Tokens are the samples' own, without padding. With a frozen base a token costs 4·N FLOP: 2·N forward and 2·N for the gradients of
the activations, and none for those of the weights; N are the numbers of the matrices that it passes. Utilisation is that over
what the device does in a product of large matrices of the same type, measured first. --tiny is a shape for a CPU, in float32: it
shows that the script runs, its figures mean nothing. Without a GPU nothing else is run.
"""

import argparse
import gc
import importlib.util
import json
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer, TrainingArguments  # noqa: E402

from llm.training.samples import TARGETS  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
TYPE = torch.bfloat16 if DEVICE == "cuda" else torch.float32
BATCH_TOKENS = 4096
# Kernels are chosen, and memory is set aside, in the first steps.
WARM_UP = 2
Sample = tuple[list[int], int]


def shape(tiny: bool) -> LlamaConfig:
    """Baichuan-7B's, as `yuqing llm convert-baichuan` writes it, or a tiny one."""
    from llm.baichuan.shape import Shape, llama_config

    narrow = {"hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 2, "num_attention_heads": 4}
    changes = narrow if tiny else {}
    own = Shape(architectures=["BaiChuanForCausalLM"], vocab_size=6000 if tiny else 64_000, **changes)
    return LlamaConfig(**llama_config(own, str(TYPE).removeprefix("torch.")))


def make_samples(words: int, count: int) -> list[Sample]:
    """Token ids, and where the answer begins."""
    chance = random.Random(11)
    found = []
    for _ in range(count):
        question, answer = chance.randint(150, 600), chance.randint(20, 140)
        found.append(([chance.randrange(3, words) for _ in range(question + answer)], question))
    return found


def make_model(config: LlamaConfig, four_bits: bool = False) -> Any:
    """Random weights with an adapter; the layers' matrices in four bits if asked for."""
    torch.manual_seed(3)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(TYPE)
    try:
        # In four bits a layer is made on the CPU and quantised on its way to the device.
        with torch.device("cpu" if four_bits else DEVICE):
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(usual)
    if four_bits:
        quantise(model)
    model.to(DEVICE)
    lora = LoraConfig(r=8, lora_alpha=16, target_modules=list(TARGETS), task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, lora)
    wrapped.train()
    return wrapped


def quantise(model: Any) -> None:
    """Replace the layers' matrices, in place."""
    import bitsandbytes as bnb

    for module in [found for layer in model.model.layers for found in layer.modules()]:
        for name, child in list(module.named_children()):
            if type(child) is torch.nn.Linear:
                small = bnb.nn.Linear4bit(
                    child.in_features, child.out_features, bias=False, compute_dtype=TYPE, quant_type="nf4"
                )
                small.weight = bnb.nn.Params4bit(
                    child.weight.data, requires_grad=False, quant_type="nf4", compress_statistics=True
                )
                setattr(module, name, small.to(DEVICE))


def synchronise() -> float:
    """The time at which everything asked for is done."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def matrix_rate() -> float:
    """FLOP a second of a product of two square matrices; the best of ten."""
    size = 8192 if DEVICE == "cuda" else 1024
    left, right = (torch.randn(size, size, device=DEVICE, dtype=TYPE) for _ in range(2))
    best = float("inf")
    for _ in range(10):
        begin = synchronise()
        left @ right
        best = min(best, synchronise() - begin)
    return 2 * size**3 / best


def peak_gib() -> float:
    """Of the GPU's memory since the last reset, or of this process since its start."""
    if DEVICE == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Meter:
    """Counts what steps take, the first of them left out."""

    def __init__(self) -> None:
        self.steps, self.tokens, self.places, self.answers, self.begin = 0, 0, 0, 0, 0.0
        gc.collect()
        if DEVICE == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()

    def step(self, tokens: int, places: int, predicted: int) -> None:
        """A step is about to run on so many tokens, places (with padding), and applications of the last matrix."""
        if self.steps == WARM_UP:
            self.begin = synchronise()
            self.tokens = self.places = self.answers = 0
        self.steps += 1
        self.tokens, self.places, self.answers = self.tokens + tokens, self.places + places, self.answers + predicted

    def figures(self, config: LlamaConfig, rate: float) -> dict[str, float]:
        """Call it when the last step has run."""
        seconds = synchronise() - self.begin
        hidden = config.hidden_size
        layers = config.num_hidden_layers * (4 * hidden**2 + 3 * hidden * config.intermediate_size)
        flop = 4 * (layers * self.tokens + hidden * config.vocab_size * min(self.answers, self.tokens))
        return {
            "tokens_s": round(self.tokens / seconds, 1),
            "padding": round(1 - self.tokens / self.places, 3),
            "peak_gib": round(peak_gib(), 2),
            "mfu": round(flop / seconds / rate, 3),
        }


def padded(samples: list[Sample]) -> dict[str, Any]:
    """A batch as the models take it; the question is not learnt."""
    width = max(len(ids) for ids, _ in samples)
    rows = {"input_ids": 0, "attention_mask": 0, "labels": -100}
    batch = {name: torch.full((len(samples), width), fill) for name, fill in rows.items()}
    for row, (ids, start) in enumerate(samples):
        batch["input_ids"][row, : len(ids)] = torch.tensor(ids)
        batch["attention_mask"][row, : len(ids)] = 1
        batch["labels"][row, start : len(ids)] = torch.tensor(ids[start:])
    return batch


def run_stock(config: LlamaConfig, samples: list[Sample], steps: int, rate: float) -> dict[str, float]:
    """transformers' Trainer as it comes."""
    meter = Meter()

    class Measured(Trainer):
        def training_step(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
            places = inputs["input_ids"].numel()
            meter.step(int(inputs["attention_mask"].sum()), places, places)
            return super().training_step(model, inputs, *others, **named)

    with tempfile.TemporaryDirectory() as folder:
        options = TrainingArguments(
            folder, max_steps=steps, report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True
        )
        trainer = Measured(make_model(config), options, data_collator=padded, train_dataset=samples)
        trainer.remove_callback(PrinterCallback)  # standard output is for the figures
        trainer.train()
    return meter.figures(config, rate)


def batches(samples: list[Sample], steps: int) -> Iterator[list[Sample]]:
    """Samples of like length, as many as fit into BATCH_TOKENS with their padding; in random order."""
    chance = random.Random(5)
    made: list[list[Sample]] = [[]]
    for sample in sorted(samples, key=lambda sample: len(sample[0])):
        if made[-1] and len(sample[0]) * (len(made[-1]) + 1) > BATCH_TOKENS:
            made.append([])
        made[-1].append(sample)
    for _ in range(steps):
        yield chance.choice(made)


def run_batched(
    config: LlamaConfig,
    samples: list[Sample],
    steps: int,
    rate: float,
    *,
    four_bits: bool = False,
    compiled: bool = False,
) -> dict[str, float]:
    """Like lengths together, and the last matrix for the answers alone."""
    meter = Meter()
    model = make_model(config, four_bits)
    inner = model.get_base_model()
    body = torch.compile(inner.model, dynamic=True) if compiled else inner.model
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    for chosen in batches(samples, steps):
        batch = {name: value.to(DEVICE) for name, value in padded(chosen).items()}
        targets = batch["labels"][:, 1:]
        learnt = targets != -100
        meter.step(sum(len(ids) for ids, _ in chosen), targets.numel() + len(chosen), int(learnt.sum()))
        states = body(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        logits = inner.lm_head(states[:, :-1][learnt]).float()
        torch.nn.functional.cross_entropy(logits, targets[learnt]).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad()
    return meter.figures(config, rate)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="a shape that a CPU trains in seconds")
    parser.add_argument("--steps", type=int, help=f"of which {WARM_UP} are not counted; default: 20, tiny 5")
    parser.add_argument("--compile", action="store_true", help="let torch compile the layers of the batched run")
    arguments = parser.parse_args()
    tiny = arguments.tiny or DEVICE == "cpu"
    steps = arguments.steps or (5 if tiny else 20)
    if steps <= WARM_UP:
        raise SystemExit(f"--steps must be more than {WARM_UP}")
    config = shape(tiny)
    samples = make_samples(config.vocab_size, 8 * steps)
    rate = matrix_rate()
    hidden, layers = config.hidden_size, config.num_hidden_layers
    numbers = 2 * config.vocab_size * hidden + layers * (
        4 * hidden**2 + 3 * hidden * config.intermediate_size + 2 * hidden
    )
    figures: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu",
        "shape": "tiny" if tiny else "7b",
        "parameters": numbers + hidden,
        "matrix_tflops": round(rate / 1e12, 2),
        "stock": run_stock(config, samples, steps, rate),
        "batched": run_batched(config, samples, steps, rate, compiled=arguments.compile),
        "qlora": None,
    }
    if importlib.util.find_spec("bitsandbytes"):
        figures["qlora"] = run_batched(config, samples, steps, rate, four_bits=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
