"""Both engines on the same weights: the numbers inside agree, and so do the words."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from asr import audio
from asr.ctranslate2_weights import read_whisper_weights
from asr.engines.checkpoint import as_checkpoint, to_openai
from asr.engines.engine import SpeechModelError, load_engine
from asr.engines.faster import pieces
from asr.transcriber import Transcriber
from examples.newsroom.recordings import FOLDER, RECORDINGS
from tests.asr.media import silence, tone
from tests.asr.test_transcriber import MOST_CER, character_error_rate, plain
from yuqing.errors import YuqingError
from yuqing.settings import load_settings
from yuqing.weights import model_path

pytestmark = pytest.mark.service
BASE = Path(model_path("whisper-base", load_settings()))


def test_the_engines_agree(tmp_path: Path) -> None:
    settings = {"compute_type": "float32", "beam_size": 1}
    cache = load_settings().cache
    mine = load_settings(asr=settings)
    theirs = load_settings(asr={**settings, "engine": "openai-whisper"})
    samples = np.concatenate(list(audio.decode(FOLDER / RECORDINGS[0].file)))
    encoded = [load_engine(each).encode(samples) for each in (mine, theirs)]
    assert encoded[0].shape == encoded[1].shape == (1500, 512)
    assert np.abs(encoded[0] - encoded[1]).max() < 0.02 * np.abs(encoded[1]).max()
    for recording in RECORDINGS:
        heard = [Transcriber(each).transcribe(FOLDER / recording.file) for each in (mine, theirs)]
        for transcript in heard:
            assert character_error_rate(plain(recording.spoken_text()), plain(transcript.text)) <= MOST_CER
            assert all(segment.words for segment in transcript.segments)
        assert character_error_rate(plain(heard[1].text), plain(heard[0].text)) <= 0.05
        assert heard[0].options_hash != heard[1].options_hash
        assert abs(heard[0].segments[-1].end - heard[1].segments[-1].end) < 1
    (checkpoint,) = (cache / "openai-whisper").glob("whisper-base-*.pt")
    assert as_checkpoint(BASE, cache / "openai-whisper") == checkpoint, "it is made once"


def test_the_checkpoint_is_what_openai_whisper_distributes() -> None:
    """Names, shapes and dimensions of their model; strict loading says so too."""
    from whisper.model import ModelDimensions, Whisper

    tensors, dimensions = to_openai(read_whisper_weights(BASE))
    model = Whisper(ModelDimensions(**dimensions))
    assert {name: tuple(values.shape) for name, values in model.state_dict().items()} == {
        name: values.shape for name, values in tensors.items()
    }
    assert dimensions["n_mels"] == 80
    assert dimensions["n_vocab"] == 51865


def test_batches_read_as_well_as_one_after_the_other(transcriber: Transcriber) -> None:
    batched = Transcriber(load_settings(asr={"batch_size": 4}))
    path = FOLDER / RECORDINGS[0].file
    one, other = transcriber.transcribe(path), batched.transcribe(path)
    assert character_error_rate(plain(one.text), plain(other.text)) <= 0.1
    assert one.options_hash != other.options_hash
    assert all(segment.words for segment in other.segments)
    assert all(0 <= segment.start < segment.end <= other.duration_s for segment in other.segments)


def test_pieces_are_half_minutes_that_end_in_pauses() -> None:
    samples = np.concatenate([tone(25), silence(1), tone(20), silence(1), tone(23)])
    found = pieces(samples, [(2.0, 60.0), (65.0, 99.0)])
    assert [start for start, _ in found] == [2.0, found[0][1], found[1][1], 65.0]
    assert 25 < found[0][1] < 26
    assert 46 < found[1][1] < 47
    assert found[-1][1] == 70
    assert all(end - start <= 30 for start, end in found)


@pytest.mark.parametrize("engine", ["faster-whisper", "openai-whisper"])
def test_models_that_cannot_be_loaded_are_named(tmp_path: Path, engine: str) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model.bin").write_bytes(b"no weights")
    (broken / "config.json").write_text(json.dumps({}))
    with pytest.raises(YuqingError, match="broken"):
        load_engine(load_settings(asr={"engine": engine, "model": str(broken)}))


def test_a_missing_engine_names_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "whisper", None)
    with pytest.raises(SpeechModelError) as caught:
        load_engine(load_settings(asr={"engine": "openai-whisper"}))
    assert "asr-reference" in str(caught.value.cure)


def test_a_file_is_no_folder_of_weights(tmp_path: Path) -> None:
    (tmp_path / "base.pt").touch()
    with pytest.raises(SpeechModelError, match="no folder"):
        load_engine(load_settings(asr={"model": str(tmp_path / "base.pt")}))
