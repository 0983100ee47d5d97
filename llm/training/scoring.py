"""The loss of a batch, and a model's sentiment of samples by the logits of the label tokens."""

from collections.abc import Callable, Sequence
from typing import Any

from llm.dataset import Sample
from llm.training.frozen import behind_prefix, embed
from llm.training.samples import Encoded, render
from yuqing.contracts import SENTIMENTS


def numbers(bf16: bool) -> Any:
    """A context in which a CPU multiplies matrices in bfloat16, or as they are."""
    import torch

    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16)


def hidden_states(model: Any, prefix: Sequence[int], rows: Sequence[Sequence[int]]) -> Any:
    """Last hidden states (rows, longest row, width) of the rows, each behind the prefix, which is computed once."""
    return behind_prefix(model.model, embed(model.model, prefix), [embed(model.model, row) for row in rows])


def batch_loss(model: Any, states: Any, items: Sequence[Encoded], total_weight: float | None = None) -> Any:
    """Weighted cross-entropy over the answers' tokens, divided by `total_weight` (default: the weights of these items).

    `states` are the items' last hidden states (items, tokens, width). Workers that share a batch divide by the weight of
    all of it, so that their losses and gradients add up.
    """
    import torch

    picked = [states[i, item.start - 1 : len(item.ids) - 1] for i, item in enumerate(items)]
    targets = [token for item in items for token in item.ids[item.start :]]
    weights = torch.tensor([weight for item in items for weight in item.weights])
    logits = model.lm_head(torch.cat(picked)).float()
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(targets), reduction="none")
    return (losses * weights).sum() / (total_weight or weights.sum())


def label_rows(tokenizer: Any, samples: Sequence[Sample]) -> tuple[list[int], list[list[int]]]:
    """Token ids of the prefix that the prompts share, and of each prompt behind it up to where the answer writes the label."""
    head = tokenizer('{"sentiment":"', add_special_tokens=False)["input_ids"]
    prefix_text = render(samples[0].messages, tokenizer).split("<|im_start|>user", 1)[0]
    prompts = [render(sample.messages, tokenizer).removeprefix(prefix_text) for sample in samples]
    rows = [[*tokenizer(prompt, add_special_tokens=False)["input_ids"], *head] for prompt in prompts]
    return tokenizer(prefix_text, add_special_tokens=False)["input_ids"], rows


def read_labels(
    model: Any, tokenizer: Any, rows: Sequence[Sequence[int]], states_of: Callable[[Sequence[int]], Any], batch: int = 8
) -> list[dict[str, float]]:
    """P(label) of each row, from the logits of the label tokens behind its last token.

    `states_of(numbers)` gives the last hidden states (rows, tokens, width) of the rows of these numbers.
    """
    import torch

    ids = [tokenizer(label, add_special_tokens=False)["input_ids"][0] for label in SENTIMENTS]
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    answers: list[dict[str, float]] = [{} for _ in rows]
    with torch.inference_mode():
        for begin in range(0, len(order), batch):
            chosen = order[begin : begin + batch]
            states = states_of(chosen)
            last = torch.stack([states[k, len(rows[i]) - 1] for k, i in enumerate(chosen)])
            values = torch.softmax(model.lm_head(last).float()[:, ids], dim=1).tolist()
            for i, row in zip(chosen, values, strict=True):
                answers[i] = dict(zip(SENTIMENTS, row, strict=True))
    return answers


def label_probabilities(model: Any, tokenizer: Any, samples: Sequence[Sample]) -> list[dict[str, float]]:
    """P(label) of each sample's document, from the logits of the label tokens where the answer writes the label."""
    prefix, rows = label_rows(tokenizer, samples)
    return read_labels(model, tokenizer, rows, lambda chosen: hidden_states(model, prefix, [rows[i] for i in chosen]))


def accuracy_and_macro_f1(true: Sequence[str], guessed: Sequence[str]) -> tuple[float, float]:
    """Share of equal labels, and the mean over the three labels of their F1."""
    hits = sum(a == b for a, b in zip(true, guessed, strict=True))
    scores = []
    for label in SENTIMENTS:
        both = sum(a == b == label for a, b in zip(true, guessed, strict=True))
        total = true.count(label) + guessed.count(label)
        scores.append(2 * both / total if total else 0.0)
    return hits / len(true), sum(scores) / len(scores)


def summary_of(samples: Sequence[Sample], answers: Sequence[dict[str, float]]) -> dict[str, float]:
    """Accuracy and macro-F1 of the document sentiment over the samples, the likeliest label taken."""
    guessed = [max(row, key=lambda label: row[label]) for row in answers]
    accuracy, macro = accuracy_and_macro_f1([sample.sentiment for sample in samples], guessed)
    return {"documents": len(samples), "accuracy": round(accuracy, 4), "macro_f1": round(macro, 4)}
