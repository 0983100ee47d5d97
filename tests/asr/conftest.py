"""The real model, loaded once a session, and a short piece of speech."""

from pathlib import Path

import numpy as np
import pytest

from asr.audio import SAMPLE_RATE, decode
from asr.transcriber import Transcriber
from examples.newsroom.recordings import FOLDER, RECORDINGS
from tests.asr.media import write
from yuqing.settings import load_settings


@pytest.fixture(scope="session")
def transcriber() -> Transcriber:
    return Transcriber(load_settings())


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first two sentences of the first recording, 11 s; they name its company."""
    samples = np.concatenate(list(decode(FOLDER / RECORDINGS[0].file)))[: 11 * SAMPLE_RATE]
    return write(tmp_path_factory.mktemp("clip") / "clip.mp3", samples, codec="libmp3lame")
