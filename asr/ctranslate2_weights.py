"""The tensors in a CTranslate2 model folder: what other layouts of the same weights are made of.

The file model.bin (version 6; all integers little-endian, strings with a 16-bit length and a final zero byte): version u32, name
of the specification, revision u32, then the number of variables and for each its name, rank u8, dimensions u32, type u8,
size in bytes u32 and the values; at last the aliases, pairs of names.
"""

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yuqing.errors import YuqingError

_VERSION = 6
_BFLOAT16 = 5
# Type numbers of CTranslate2's DataType; bfloat16, which NumPy does not know, is read as 16 bits and widened.
_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16, _BFLOAT16: np.uint16}
_SCALE = "_scale"


class WeightsError(YuqingError):
    """The file holds no weights of the kind that is asked for."""


def read_whisper_weights(folder: Path) -> dict[str, NDArray[Any]]:
    """All variables of a Whisper model by CTranslate2's names, such as `decoder/layer_0/self_attention/linear_0/weight`.

    Floats keep their width (bfloat16 becomes float32) and are views of the mapped file; int8 weights are made float32 by their
    scales, which is as near to the original as they get. In self-attention linear_0 is q, k and v, one below the other; in the
    decoder's `attention` (to the sound) linear_0 is q and linear_1 is k and v. Variables of the same values share one array.
    Raises WeightsError.
    """
    path = folder / "model.bin"
    try:
        data: NDArray[np.uint8] = np.memmap(path, np.uint8, mode="r")
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}", cure="name a folder with CTranslate2 weights") from None
    try:
        return _dequantised(_variables(data))
    except (struct.error, ValueError, UnicodeDecodeError, KeyError) as error:
        raise WeightsError(
            f"{path} holds no Whisper weights that can be read: {error}", cure="fetch or convert the model again"
        ) from None


def _variables(data: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    place = 0

    def take(form: str) -> int:
        nonlocal place
        (value,) = struct.unpack_from("<" + form, data.data, place)
        place += struct.calcsize(form)
        return int(value)

    def text() -> str:
        nonlocal place
        length = take("H")
        place += length
        return bytes(data[place - length : place - 1]).decode()

    version, name, _revision = take("I"), text(), take("I")
    if version != _VERSION or name != "WhisperSpec":
        raise ValueError(f"it is version {version} of {name}, wanted is version {_VERSION} of WhisperSpec")
    found: dict[str, NDArray[Any]] = {}
    for _ in range(take("I")):
        name, rank = text(), take("B")
        shape = [take("I") for _ in range(rank)]
        kind, size = take("B"), take("I")
        values = data[place : place + size].view(_TYPES[kind]).reshape(shape)
        place += size
        found[name] = (values.astype(np.uint32) << 16).view(np.float32) if kind == _BFLOAT16 else values
    # Variables with the same values are written once: the projection is the embeddings, zero biases are one.
    for _ in range(take("I")):
        alias, name = text(), text()
        found[alias] = found[name]
    return found


def _dequantised(found: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    scales = {name: found.pop(name) for name in [name for name in found if name.endswith(_SCALE)]}
    for name, scale in scales.items():
        weight = found[name.removesuffix(_SCALE)]
        # One scale a row; a stored value is the weight times its scale, rounded.
        found[name.removesuffix(_SCALE)] = weight.astype(np.float32) / scale.reshape(-1, *[1] * (weight.ndim - 1))
    return found
