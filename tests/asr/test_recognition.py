"""How well the speech set is recognised with the defaults, against floors that may be raised and not lowered without saying so."""

import json
from pathlib import Path
from typing import Any

import pytest

from asr.audio import SAMPLE_RATE
from asr.evaluate import recognise, samples_of, table
from asr.manifests import read_manifest
from asr.transcriber import Transcriber
from examples.speech import DEV, NAMES, TEST, TRAIN

FLOORS = json.loads((Path(__file__).parent / "floors.json").read_text(encoding="utf-8"))


def test_the_speech_set_is_long_enough_and_its_parts_share_no_text() -> None:
    clips = read_manifest(TEST)
    assert len(clips) >= FLOORS["clips"]
    assert sum(len(samples_of(clip)) for clip in clips) / SAMPLE_RATE >= FLOORS["seconds"]
    voices = {json.loads(line)["voice"] for line in TEST.read_text(encoding="utf-8").splitlines()}
    assert len(voices) >= FLOORS["voices"]
    assert {name for clip in clips for name in clip.names} == set(NAMES)
    sentences = [
        {sentence for clip in read_manifest(part) for sentence in clip.text.split("。") if sentence}
        for part in (TEST, TRAIN, DEV)
    ]
    assert len(set.union(*sentences)) == sum(map(len, sentences))


def recognised(transcriber: Transcriber, count: int | None) -> dict[str, Any]:
    heard = recognise(read_manifest(TEST)[:count], lambda path: transcriber.transcribe(path, names=NAMES).text)
    return table(heard)[-1].as_json()


@pytest.mark.service
def test_the_first_clips(transcriber: Transcriber) -> None:
    found, floor = recognised(transcriber, FLOORS["gate"]["clips"]), FLOORS["gate"]
    assert found["cer"] <= floor["cer"]
    assert found["names_right"] >= floor["names_right"]


@pytest.mark.slow
def test_the_whole_set(transcriber: Transcriber) -> None:
    found, floor = recognised(transcriber, None), FLOORS["whole"]
    assert found["cer"] <= floor["cer"]
    assert found["names_right"] >= floor["names_right"]
