"""LoRA fine-tuning on samples in the product's answer format.

Four things make it affordable on two cores: the adapter sits on the last layers, so that the backward pass stops there;
the output matrix is applied at the answer's positions only; the instruction, which all samples share, is computed once
a batch and its keys and values are shared; and each core is a process of one thread that takes its part of every batch,
because two threads wait for each other at every matrix when something else wants a core (2.4 times slower when measured).
"""

import hashlib
import json
import math
import multiprocessing
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm.dataset import Sample
from yuqing.contracts import SENTIMENTS
from yuqing.errors import YuqingError
from yuqing.telemetry import get_logger

log = get_logger(__name__)

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class TrainingError(YuqingError):
    """Training cannot start or go on; the message says why."""


@dataclass(frozen=True)
class TrainConfig:
    """What a run is made of; it goes into the run card as it is."""

    last_layers: int = 6
    rank: int = 8
    alpha: int = 16
    learning_rate: float = 5e-4
    warmup: float = 0.06
    epochs: int = 1
    batch_size: int = 12
    # A sample longer than this is left out (and counted): half a sentence teaches a wrong end.
    max_tokens: int = 640
    label_weight: float = 8.0
    company_label_weight: float = 2.0
    seed: int = 7
    checkpoint_every: int = 10
    # Processes of one thread each.
    workers: int = 2
    targets: tuple[str, ...] = TARGETS


@dataclass
class Encoded:
    """Token ids behind the shared prefix, where the answer starts, and the loss weight of each answer token."""

    ids: list[int]
    start: int
    weights: list[float] = field(default_factory=list)


def render(messages: Sequence[dict[str, str]], tokenizer: Any) -> str:
    """The chat template's text up to where the answer begins."""
    text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    return text


def encode(samples: Sequence[Sample], tokenizer: Any, config: TrainConfig) -> tuple[list[int], list[Encoded]]:
    """The ids of the prefix that all prompts share (their system message), and each sample's ids behind it.

    Raises TrainingError when the samples do not share their system message.
    """
    systems = {sample.messages[0]["content"] for sample in samples}
    if len(systems) != 1:
        raise TrainingError(
            "the samples have different instructions", cure="build the data set with one prompt version"
        )
    prefix_text = render(samples[0].messages, tokenizer).split("<|im_start|>user", 1)[0]
    prefix = tokenizer(prefix_text, add_special_tokens=False)["input_ids"]
    labels = {tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in SENTIMENTS}
    encoded = []
    for sample in samples:
        prompt = render(sample.messages, tokenizer).removeprefix(prefix_text)
        question = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        answer = tokenizer(sample.answer, add_special_tokens=False)["input_ids"]
        if sample.full:
            answer = [*answer, tokenizer.eos_token_id]
        weights, seen = [], 0
        for token in answer:
            is_label = token in labels
            weights.append((config.label_weight if seen == 0 else config.company_label_weight) if is_label else 1.0)
            seen += is_label
        item = Encoded([*question, *answer], len(question), weights)
        if len(prefix) + len(item.ids) <= config.max_tokens:
            encoded.append(item)
    if not encoded:
        raise TrainingError(f"no sample has at most {config.max_tokens} tokens", cure="raise max_tokens")
    return prefix, encoded


def make_batches(items: Sequence[Encoded], size: int, chance: random.Random) -> list[list[int]]:
    """Indices in batches of like length (buckets of 20 batches are sorted), in random order."""
    order = list(range(len(items)))
    chance.shuffle(order)
    batches = []
    for begin in range(0, len(order), 20 * size):
        bucket = sorted(order[begin : begin + 20 * size], key=lambda i: len(items[i].ids))
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    chance.shuffle(batches)
    return batches


def hidden_states(model: Any, prefix: Sequence[int], rows: Sequence[Sequence[int]]) -> Any:
    """Last hidden states (rows, longest row, width) of the rows, each behind the prefix, which is computed once."""
    import torch
    from transformers import DynamicCache

    cache = DynamicCache()
    model.model(input_ids=torch.tensor([list(prefix)]), past_key_values=cache, use_cache=True)
    cache.batch_repeat_interleave(len(rows))
    width = max(len(row) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros((len(rows), len(prefix) + width), dtype=torch.long)
    mask[:, : len(prefix)] = 1
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, len(prefix) : len(prefix) + len(row)] = 1
    return model.model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True).last_hidden_state


def batch_loss(model: Any, prefix: Sequence[int], items: Sequence[Encoded], total_weight: float | None = None) -> Any:
    """Weighted cross-entropy over the answers' tokens, divided by `total_weight` (default: the weights of these items).

    Workers that share a batch divide by the weight of all of it, so that their losses and gradients add up.
    """
    import torch

    # The last token predicts nothing that is learnt.
    states = hidden_states(model, prefix, [item.ids[:-1] for item in items])
    picked = [states[i, item.start - 1 : len(item.ids) - 1] for i, item in enumerate(items)]
    targets = [token for item in items for token in item.ids[item.start :]]
    weights = torch.tensor([weight for item in items for weight in item.weights])
    logits = model.lm_head(torch.cat(picked)).float()
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction="none")
    return (losses * weights).sum() / (total_weight or weights.sum())


def label_probabilities(
    model: Any, tokenizer: Any, samples: Sequence[Sample], *, batch: int = 8
) -> list[dict[str, float]]:
    """P(label) of each sample's document, from the logits of the label tokens where the answer writes the label."""
    import torch

    ids = [tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in SENTIMENTS]
    head = tokenizer('{"sentiment":"', add_special_tokens=False)["input_ids"]
    prefix_text = render(samples[0].messages, tokenizer).split("<|im_start|>user", 1)[0]
    prefix = tokenizer(prefix_text, add_special_tokens=False)["input_ids"]
    rows = []
    for sample in samples:
        prompt = render(sample.messages, tokenizer).removeprefix(prefix_text)
        rows.append([*tokenizer(prompt, add_special_tokens=False)["input_ids"], *head])
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    answers: list[dict[str, float]] = [{} for _ in rows]
    with torch.inference_mode():
        for begin in range(0, len(order), batch):
            chosen = order[begin : begin + batch]
            states = hidden_states(model, prefix, [rows[i] for i in chosen])
            last = torch.stack([states[k, len(rows[i]) - 1] for k, i in enumerate(chosen)])
            values = torch.softmax(model.lm_head(last).float()[:, ids], dim=1).tolist()
            for i, row in zip(chosen, values, strict=True):
                answers[i] = dict(zip(SENTIMENTS, row, strict=True))
    return answers


def accuracy_and_macro_f1(true: Sequence[str], guessed: Sequence[str]) -> tuple[float, float]:
    """Share of equal labels, and the mean over the three labels of their F1."""
    hits = sum(a == b for a, b in zip(true, guessed, strict=True))
    scores = []
    for label in SENTIMENTS:
        both = sum(a == b == label for a, b in zip(true, guessed, strict=True))
        total = true.count(label) + guessed.count(label)
        scores.append(2 * both / total if total else 0.0)
    return hits / len(true), sum(scores) / len(scores)


def evaluate(model: Any, tokenizer: Any, samples: Sequence[Sample]) -> dict[str, float]:
    """Accuracy and macro-F1 of the document sentiment over the samples, by label-token scoring."""
    guessed = [max(row, key=lambda label: row[label]) for row in label_probabilities(model, tokenizer, samples)]
    accuracy, macro = accuracy_and_macro_f1([sample.sentiment for sample in samples], guessed)
    return {"documents": len(samples), "accuracy": round(accuracy, 4), "macro_f1": round(macro, 4)}


def rate(step: int, steps: int, config: TrainConfig) -> float:
    """Learning rate of a step: linear warm-up over `warmup` of the steps, then a cosine down to a tenth."""
    warm = max(1, round(config.warmup * steps))
    if step < warm:
        return config.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, steps - warm)
    return config.learning_rate * (0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done)))


def with_adapter(model: Any, config: TrainConfig) -> Any:
    """The model with a fresh LoRA adapter on its last layers (a PeftModel)."""
    from peft import LoraConfig, get_peft_model

    layers = model.config.num_hidden_layers
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=0.0,
        target_modules=list(config.targets),
        layers_to_transform=list(range(layers - config.last_layers, layers)),
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, lora)


def _save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    import torch

    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


def _save_adapter(model: Any, out: Path) -> None:
    """PEFT's two files, the factors in bf16."""
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    factors = {
        name: tensor.to(torch.bfloat16).contiguous() for name, tensor in get_peft_model_state_dict(model).items()
    }
    save_file(factors, out / "adapter_model.safetensors", metadata={"format": "pt"})
    model.peft_config["default"].save_pretrained(out)


@dataclass
class _Run:
    """All that the workers share: made before they fork, so that the frozen weights exist once in memory."""

    config: TrainConfig
    model: Any
    optimizer: Any
    prefix: list[int]
    items: list[Encoded]
    batches: list[list[int]]
    checkpoint: Path
    fingerprint: str
    report: Callable[[str], None]
    last: int
    step: int = 0
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def _sum_over_workers(tensors: Sequence[Any]) -> None:
    """Replace each tensor by its sum over the workers: one message for all."""
    import torch

    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    torch.distributed.all_reduce(flat)
    for tensor, part in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def _work(run: _Run, rank: int, meeting: str) -> None:
    """The training loop of one worker; worker 0 reports and saves."""
    import torch
    from peft import get_peft_model_state_dict

    config = run.config
    # A session of its own: Linux shares the cores out between sessions, so that each worker gets a fair part of one.
    if rank:
        os.setsid()
    torch.set_num_threads(1)
    if config.workers > 1:
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=config.workers)
    trained = [parameter for parameter in run.model.parameters() if parameter.requires_grad]
    plain, steps, first, begin = run.model.get_base_model(), len(run.batches), run.step, time.monotonic()
    while run.step < run.last:
        for group in run.optimizer.param_groups:
            group["lr"] = rate(run.step, steps, config)
        batch = [run.items[i] for i in run.batches[run.step]]
        mine = batch[rank :: config.workers]
        run.optimizer.zero_grad(set_to_none=False)
        total = torch.zeros(1)
        if mine:
            loss = batch_loss(plain, run.prefix, mine, sum(sum(item.weights) for item in batch))
            loss.backward()
            total += loss.detach()
        if config.workers > 1:
            for parameter in trained:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
            _sum_over_workers([total, *(parameter.grad for parameter in trained)])
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        run.optimizer.step()
        run.step += 1
        run.losses.append(round(total.item(), 4))
        if rank:
            continue
        elapsed = time.monotonic() - begin
        if run.step % 5 == 0 or run.step == run.last:
            left = elapsed / (run.step - first) * (run.last - run.step)
            mean = sum(run.losses[-20:]) / len(run.losses[-20:])
            run.report(
                f"step {run.step}/{steps} loss {mean:.3f}, {run.seconds + elapsed:.0f} s done, {left:.0f} s left"
            )
        if run.step % config.checkpoint_every == 0 or run.step == run.last:
            state = {"fingerprint": run.fingerprint, "step": run.step, "losses": run.losses}
            state |= {"seconds": run.seconds + elapsed, "optimizer": run.optimizer.state_dict()}
            _save_checkpoint(run.checkpoint, state | {"adapter": get_peft_model_state_dict(run.model)})
    run.seconds += time.monotonic() - begin
    if config.workers > 1:
        torch.distributed.destroy_process_group()


def _run_workers(run: _Run) -> None:
    """Fork the other workers, be worker 0, and wait. Raises TrainingError when a worker died."""
    with tempfile.TemporaryDirectory() as folder:
        meeting = f"file://{folder}/meeting"
        context = multiprocessing.get_context("fork")
        others = [context.Process(target=_work, args=(run, rank, meeting)) for rank in range(1, run.config.workers)]
        for other in others:
            other.start()
        try:
            _work(run, 0, meeting)
        except RuntimeError as error:
            raise TrainingError(
                f"a training worker failed: {error}", cure="the run goes on from its checkpoint"
            ) from error
        finally:
            for other in others:
                other.join(30)
                other.kill()


def train(
    base: Path,
    samples: Sequence[Sample],
    dev: Sequence[Sample],
    out: Path,
    config: TrainConfig,
    *,
    max_steps: int | None = None,
    report: Callable[[str], None] = log.info,
) -> dict[str, Any]:
    """Train an adapter into `out` (PEFT layout, bf16) and return the run card, which is also out/run.json.

    Killed at any moment and called again with the same arguments it goes on from its last checkpoint and takes the same
    batches. Raises TrainingError when `out` holds a checkpoint of another run, or when a worker dies.
    """
    import torch
    from peft import set_peft_model_state_dict
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)  # before the fork: a thread pool does not survive one
    torch.manual_seed(config.seed)
    tokenizer = AutoTokenizer.from_pretrained(base)
    prefix, items = encode(samples, tokenizer, config)
    report(f"{len(items)} of {len(samples)} samples fit, prefix {len(prefix)} tokens, base {base.name}")
    wrapped = with_adapter(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), config)
    trained = [parameter for parameter in wrapped.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=config.learning_rate, weight_decay=0.0)
    chance = random.Random(config.seed)  # noqa: S311
    batches = [batch for _ in range(config.epochs) for batch in make_batches(items, config.batch_size, chance)]
    out.mkdir(parents=True, exist_ok=True)
    content = json.dumps([asdict(config), [item.ids for item in items]], sort_keys=True)
    fingerprint, checkpoint = hashlib.sha256(content.encode()).hexdigest(), out / "checkpoint.pt"
    last = len(batches) if max_steps is None else min(max_steps, len(batches))
    run = _Run(config, wrapped, optimizer, prefix, items, batches, checkpoint, fingerprint, report, last)
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        if state["fingerprint"] != fingerprint:
            raise TrainingError(f"{checkpoint} belongs to another run", cure="give another output folder, or remove it")
        set_peft_model_state_dict(wrapped, state["adapter"])
        optimizer.load_state_dict(state["optimizer"])
        run.step, run.losses, run.seconds = state["step"], state["losses"], state["seconds"]
        report(f"going on from step {run.step} of {len(batches)}")
    wrapped.train()
    _run_workers(run)
    # Saved before the evaluation, which takes minutes: what was learnt is not lost with it.
    _save_adapter(wrapped, out)
    wrapped.eval()
    card: dict[str, Any] = {
        "config": asdict(config),
        "samples": len(items),
        "full_samples": sum(len(item.weights) > 8 for item in items),
        "steps": run.step,
        "seconds": round(run.seconds),
        "losses": run.losses,
        "dev": evaluate(wrapped.get_base_model(), tokenizer, dev) if dev else None,
    }
    report(f"dev {card['dev']}")
    (out / "run.json").write_text(json.dumps(card, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return card
