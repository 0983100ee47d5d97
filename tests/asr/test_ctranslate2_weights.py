"""Reading CTranslate2's model.bin."""

from pathlib import Path

import numpy as np
import pytest

from asr.ctranslate2_weights import WeightsError, read_whisper_weights
from yuqing.settings import load_settings
from yuqing.weights import model_path


@pytest.mark.service
def test_the_base_model_is_read_whole(tmp_path: Path) -> None:
    folder = model_path("whisper-base", load_settings())
    weights = read_whisper_weights(folder)
    assert weights["decoder/embeddings/weight"].shape == (51865, 512)
    assert weights["encoder/conv1/weight"].shape == (512, 80, 3)
    assert weights["decoder/layer_5/self_attention/linear_0/weight"].shape == (1536, 512)
    assert int(weights["encoder/num_heads"]) == 8
    assert np.array_equal(weights.pop("decoder/projection/weight"), weights["decoder/embeddings/weight"])
    floats = [values for values in weights.values() if values.ndim]
    # Whisper base has 72,593,920 parameters; CTranslate2 adds biases of zeros for k to its 18 attentions.
    assert sum(values.size for values in floats) == 72_593_920 + 18 * 512
    assert all(np.isfinite(values).all() for values in floats)
    (tmp_path / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:1_000_000])
    with pytest.raises(WeightsError, match="fetch or convert"):
        read_whisper_weights(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x06\0\0\0", b"\x06\0\0\0\x04\0GPT\0" + bytes(8), b"RIFF" * 100])
def test_what_is_no_model_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    with pytest.raises(WeightsError, match=r"model\.bin"):
        read_whisper_weights(tmp_path)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        read_whisper_weights(tmp_path)
