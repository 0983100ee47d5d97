"""Whisper between CTranslate2 and transformers: no number changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from asr.ctranslate2_weights import WeightsError, read_whisper_weights
from asr.transformers_model import load_model, save_served
from tests.asr.tiny_whisper import save_tiny_whisper
from yuqing.settings import load_settings
from yuqing.weights import model_path


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.service
@pytest.mark.parametrize("mel_bins", [80, 128])
def test_a_model_comes_back_as_it_was(tmp_path: Path, mel_bins: int) -> None:
    made = save_tiny_whisper(tmp_path / "tiny", mel_bins)
    loaded = load_model(tmp_path / "tiny")
    assert same(made.state_dict(), loaded.state_dict())
    for name in ("suppress_tokens", "begin_suppress_tokens", "alignment_heads", "lang_to_id", "no_timestamps_token_id"):
        assert getattr(made.generation_config, name) == getattr(loaded.generation_config, name)
    save_served(loaded, tmp_path / "tiny", tmp_path / "again")
    assert same(read_whisper_weights(tmp_path / "tiny"), read_whisper_weights(tmp_path / "again"))
    assert (tmp_path / "tiny/config.json").read_text() == (tmp_path / "again/config.json").read_text()
    (tmp_path / "again/tokenizer.json").unlink()
    with pytest.raises(WeightsError, match="tokenizer"):
        load_model(tmp_path / "again")


@pytest.mark.service
def test_the_base_says_in_transformers_what_it_says_when_served(tmp_path: Path) -> None:
    import torch

    folder = model_path("whisper-base", load_settings())
    model = load_model(folder)
    assert sum(values.numel() for values in model.parameters()) == 72_593_920
    save_served(model, folder, tmp_path / "served")
    served, original = read_whisper_weights(tmp_path / "served"), read_whisper_weights(folder)
    assert all(np.array_equal(served[name], original[name]) for name in served.keys() & original.keys())
    with torch.inference_mode():
        states = model.model.encoder(torch.zeros(1, 80, 3000)).last_hidden_state
    import ctranslate2

    engine = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")
    silent = ctranslate2.StorageView.from_array(np.zeros((1, 80, 3000), np.float32))
    assert np.allclose(states.numpy(), np.array(engine.encode(silent)), atol=2e-3)
