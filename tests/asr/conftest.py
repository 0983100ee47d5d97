"""The real model, loaded once a session."""

import pytest

from asr.transcriber import Transcriber
from yuqing.settings import load_settings


@pytest.fixture(scope="session")
def transcriber() -> Transcriber:
    return Transcriber(load_settings())
