"""The forward pass of Baichuan-7B and Baichuan2-7B, written from their published architecture, in float32.

Root-mean-square norms before attention and MLP; one matrix for queries, keys and values, in this order; rotary embedding
of base 10,000 on the two halves of each head; SwiGLU; and, in the second generation, a last matrix whose rows have length 1.
"""

import math
from typing import Any

import torch


def _norm(x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)


def _rotate(x: torch.Tensor) -> torch.Tensor:
    """x is (heads, length, size)."""
    _, length, size = x.shape
    angles = torch.outer(torch.arange(length).float(), 10_000.0 ** (-torch.arange(0, size, 2).float() / size))
    cosine, sine = (torch.cat((part, part), dim=-1) for part in (angles.cos(), angles.sin()))
    left, right = x[..., : size // 2], x[..., size // 2 :]
    return x * cosine + torch.cat((-right, left), dim=-1) * sine


def logits(weights: dict[str, torch.Tensor], config: dict[str, Any], ids: list[int]) -> torch.Tensor:
    """(length, words). `weights` are the original checkpoint's, with W_pack."""
    weights = {name: tensor.float() for name, tensor in weights.items()}
    heads, hidden, epsilon = config["num_attention_heads"], config["hidden_size"], config["rms_norm_eps"]
    size = hidden // heads
    x = weights["model.embed_tokens.weight"][ids]
    length = len(ids)
    future = torch.full((length, length), -math.inf).triu(1)
    for layer in range(config["num_hidden_layers"]):

        def of(name: str, layer: int = layer) -> torch.Tensor:
            return weights[f"model.layers.{layer}.{name}.weight"]

        fused = _norm(x, of("input_layernorm"), epsilon) @ of("self_attn.W_pack").T
        q, k, v = (fused[:, place * hidden : (place + 1) * hidden] for place in range(3))
        q, k, v = (part.reshape(length, heads, size).transpose(0, 1) for part in (q, k, v))
        scores = _rotate(q) @ _rotate(k).transpose(1, 2) / math.sqrt(size) + future
        mixed = (scores.softmax(-1) @ v).transpose(0, 1).reshape(length, hidden)
        x = x + mixed @ of("self_attn.o_proj").T
        y = _norm(x, of("post_attention_layernorm"), epsilon)
        x = (
            x
            + (torch.nn.functional.silu(y @ of("mlp.gate_proj").T) * (y @ of("mlp.up_proj").T)) @ of("mlp.down_proj").T
        )
    x = _norm(x, weights["model.norm.weight"], epsilon)
    last = weights["lm_head.weight"]
    if config["architectures"] == ["BaichuanForCausalLM"]:
        last = last / last.norm(dim=1, keepdim=True)
    return x @ last.T
