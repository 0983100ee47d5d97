"""What a Baichuan checkpoint is made of: its config.json, checked, and the tensors that follow from it."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm.baichuan import ConversionError

# Baichuan-7B's published code calls its class BaiChuan..., all later models' Baichuan....
_GENERATIONS = {"BaiChuanForCausalLM": 1, "BaichuanForCausalLM": 2}
_VOCABULARIES = {64_000: 1, 125_696: 2}
# Constant in the published code of both generations.
ROPE_BASE = 10_000.0


class Shape(BaseModel):
    """The fields of config.json that decide on the layout; defaults are those of the published configuration class."""

    model_config = ConfigDict(frozen=True)

    architectures: list[str] = Field(min_length=1)
    vocab_size: int = Field(gt=0)
    hidden_size: int = Field(4096, gt=0)
    intermediate_size: int = Field(11_008, gt=0)
    num_hidden_layers: int = Field(32, gt=0)
    num_attention_heads: int = Field(32, gt=0)
    max_position_embeddings: int = Field(4096, gt=0)
    rms_norm_eps: float = Field(1e-6, gt=0)
    hidden_act: Literal["silu"] = "silu"
    tie_word_embeddings: Literal[False] = False
    pad_token_id: int = 0
    bos_token_id: int = 1
    eos_token_id: int = 2

    @property
    def generation(self) -> int:
        """1 for Baichuan-7B, 2 for Baichuan2-7B."""
        return _GENERATIONS[self.architectures[0]]

    @property
    def name(self) -> str:
        """What the model is called."""
        return "Baichuan2-7B" if self.generation == 2 else "Baichuan-7B"


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ConversionError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConversionError(f"{path} is missing", cure="download the checkpoint again, whole") from None
    except (OSError, ValueError) as error:
        raise ConversionError(f"{path} cannot be read: {error}", cure="download the file again") from None
    if not isinstance(value, dict):
        raise ConversionError(f"{path} holds no JSON object", cure="download the file again")
    return value


def read_shape(folder: Path) -> Shape:
    """The checked shape of the checkpoint in `folder`. Raises ConversionError for every model that is not a plain 7B one."""
    path = folder / "config.json"
    config = read_json(path)
    if config.get("model_type") != "baichuan":
        raise ConversionError(
            f"{path} is of the model type {config.get('model_type')!r}, not baichuan",
            cure="models of other types need no conversion: serve them as they are",
        )
    if config.get("quantization_config"):
        raise ConversionError(
            f"{path} describes quantised weights, whose rounding cannot be undone",
            cure="convert the checkpoint in bf16 and quantise the result",
        )
    # The 13B models have 5120 dimensions and, having no rotary embedding, no number of positions in their configuration.
    width = config.get("hidden_size", 4096)
    if width == 5120 or ("max_position_embeddings" not in config and width != 4096):
        raise ConversionError(
            f"{path} is a 13B model: its attention is biased by distance (ALiBi), which LLaMA's layout cannot express",
            cure="use Baichuan-7B or Baichuan2-7B",
        )
    if config.get("rope_scaling") or float(config.get("rope_theta") or ROPE_BASE) != ROPE_BASE:
        raise ConversionError(
            f"{path} changes the rotary embedding, which the published models do not", cure="convert the original"
        )
    try:
        shape = Shape.model_validate(config)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise ConversionError(
            f"{path}: {field} is {problem['input']!r}: {problem['msg']}", cure="download the file again"
        ) from None
    _check(shape, path)
    return shape


def _check(shape: Shape, path: Path) -> None:
    architecture = shape.architectures[0]
    if architecture not in _GENERATIONS:
        raise ConversionError(
            f"{path} names the architecture {architecture}", cure=f"known are {' and '.join(_GENERATIONS)}"
        )
    if _VOCABULARIES.get(shape.vocab_size, shape.generation) != shape.generation:
        raise ConversionError(
            f"{path} names the architecture of {shape.name} with {shape.vocab_size} words, the other generation's number",
            cure="restore the original config.json; the generations differ in their last layer",
        )
    if shape.hidden_size % (2 * shape.num_attention_heads):
        raise ConversionError(
            f"{path}: {shape.hidden_size} dimensions cannot be cut into {shape.num_attention_heads} heads of even size",
            cure="restore the original config.json",
        )


def tensor_shapes(shape: Shape) -> dict[str, tuple[int, ...]]:
    """The tensors of the checkpoint by name, (out, in) for matrices, in the order of a forward pass."""
    hidden, inner, words = shape.hidden_size, shape.intermediate_size, shape.vocab_size
    tensors: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, hidden)}
    for layer in range(shape.num_hidden_layers):
        prefix = f"model.layers.{layer}"
        tensors |= {
            f"{prefix}.input_layernorm.weight": (hidden,),
            f"{prefix}.self_attn.W_pack.weight": (3 * hidden, hidden),
            f"{prefix}.self_attn.o_proj.weight": (hidden, hidden),
            f"{prefix}.post_attention_layernorm.weight": (hidden,),
            f"{prefix}.mlp.gate_proj.weight": (inner, hidden),
            f"{prefix}.mlp.up_proj.weight": (inner, hidden),
            f"{prefix}.mlp.down_proj.weight": (hidden, inner),
        }
    return tensors | {"model.norm.weight": (hidden,), "lm_head.weight": (words, hidden)}


def llama_config(shape: Shape, number_type: str) -> dict[str, Any]:
    """config.json of the converted model. `number_type` is torch's name: bfloat16, float16 or float32."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "mlp_bias": False,
        "num_key_value_heads": shape.num_attention_heads,
        "head_dim": shape.hidden_size // shape.num_attention_heads,
        "rope_theta": ROPE_BASE,
        "torch_dtype": number_type,
        **shape.model_dump(exclude={"architectures"}),
    }
