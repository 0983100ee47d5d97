"""The loss of a batch, and a model's sentiment of samples by the logits of the label tokens."""

from collections.abc import Sequence
from typing import Any

from llm.dataset import Sample
from llm.training.samples import Encoded, render
from yuqing.contracts import SENTIMENTS


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
