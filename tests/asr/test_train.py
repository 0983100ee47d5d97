"""Fine-tuning: the real loop on a tiny model, its stops and its files."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from asr.manifests import ManifestError, Utterance
from asr.train import learning_rate, train
from asr.training_config import TrainingConfig, read_config
from asr.training_data import Tokens, TrainingError, batches, usable
from tests.asr.media import pink_noise, tone, write
from tests.asr.tiny_whisper import save_tiny_whisper
from yuqing.settings import load_settings


def test_every_clip_once_an_epoch_in_another_order() -> None:
    found = batches(7, 3, 2, seed=1)
    assert [len(batch) for batch in found] == [3, 3, 1, 3, 3, 1]
    epochs = [[index for batch in found[begin : begin + 3] for _, index in batch] for begin in (0, 3)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(7))] * 2
    assert epochs[0] != epochs[1]
    assert {epoch for batch in found[3:] for epoch, _ in batch} == {1}


def test_the_rate_warms_up_and_falls() -> None:
    config = TrainingConfig(train=Path("a"), validation=Path("b"), out=Path("c"))
    rates = [learning_rate(step, 100, config) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == config.learning_rate
    assert rates[-1] > 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("train: a\nvalidation: b", "out: Field required"),
        ("train: a\nvalidation: b\nout: c\nepoch: 3", "epoch: Extra"),
        ("train: a\nvalidation: b\nout: c\nepochs: 0", "epochs: "),
        ("train: a\nvalidation: b\nout: c\nconditions: [space]", "conditions: .*telephone"),
        ("- a", "the file: "),
        ("a: [", "is no YAML"),
    ],
)
def test_broken_configurations_are_named(tmp_path: Path, content: str, reason: str) -> None:
    (tmp_path / "run.yaml").write_text(content)
    with pytest.raises(ManifestError, match=reason):
        read_config(tmp_path / "run.yaml")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_config(tmp_path / "other.yaml")


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("train: a.jsonl\nvalidation: /data/b.jsonl\nout: runs/x\nbase: tiny")
    (tmp_path / "tiny").mkdir()
    config = read_config(tmp_path / "run.yaml")
    assert (config.train, config.validation) == (tmp_path / "a.jsonl", Path("/data/b.jsonl"))
    assert (config.out, config.base) == (tmp_path / "runs/x", str(tmp_path / "tiny"))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model, six clips of three sounds with their texts, and a configuration."""
    folder = tmp_path_factory.mktemp("speech")
    save_tiny_whisper(folder / "tiny")
    sounds = {"高": tone(2, hertz=2000), "低": tone(2, hertz=200), "沙": pink_noise(2)}
    lines = []
    for number in range(2):
        for text, sound in sounds.items():
            write(folder / f"{text}{number}.wav", (0.5 + number / 4) * sound, codec="pcm_s16le")
            lines.append(json.dumps({"audio": f"{text}{number}.wav", "text": text}, ensure_ascii=False))
    (folder / "all.jsonl").write_text("\n".join(lines))
    content = {"base": "tiny", "train": "all.jsonl", "validation": "all.jsonl", "out": "whole", "epochs": 3, "batch_size": 2,
               "learning_rate": 0.02, "conditions": ["clean", "noise"], "checkpoint_every": 1, "device": "cpu"}  # fmt: skip
    (folder / "run.yaml").write_text(yaml.safe_dump(content))
    return folder


def adapter(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter/adapter_model.safetensors")


def test_the_prompt_and_the_head_are_no_targets(tmp_path: Path) -> None:
    save_tiny_whisper(tmp_path / "tiny")
    tokens = Tokens(tmp_path / "tiny", "zh", longest=30)
    inputs, targets = tokens.encode("高ab", "低")
    assert len(inputs) == len(targets) == 1 + 3 + 4 + 5  # <|startofprev|>, 低 in bytes, the head, 高ab
    said = [token for token in targets if token >= 0]
    assert tokens.decode(said) == "高ab"
    assert said[-1] == tokens.end
    assert targets[-6:] == said
    assert inputs[-5:] == said[:-1]
    assert tokens.count("高ab") == 6
    assert (tokens.room(7), tokens.room(30)) == (7, 26)  # the head has four
    with pytest.raises(ValueError, match="tokens"):
        tokens.encode("高" * 10)
    clip = Path("a.wav")
    kept, left_out = usable(
        [Utterance("1", clip, "高"), Utterance("2", clip, "高" * 9), Utterance("3", clip, "低", end=31)], tokens, ""
    )
    assert ([item.id for item in kept], left_out) == (["1"], 2)
    with pytest.raises(TrainingError, match="no clip"):
        usable([Utterance("2", clip, "")], tokens, "")
    with pytest.raises(TrainingError, match="language fr"):
        Tokens(tmp_path / "tiny", "fr", longest=30)


@pytest.mark.slow
def test_stopped_and_gone_on_it_ends_with_the_same_weights(tiny: Path) -> None:
    import torch

    config, settings = read_config(tiny / "run.yaml"), load_settings()
    whole = train(config, settings)
    assert whole["finished"] and whole["steps"] == len(whole["losses"]) == 9
    assert whole["losses"][-1] < whole["losses"][0]
    assert len(whole["validation_cer"]) == 4
    halves = config.model_copy(update={"out": tiny / "halves"})
    assert not train(halves, settings, max_steps=2)["finished"]  # in the middle of an epoch
    program = (
        "import sys; from pathlib import Path; from asr.train import train; from asr.training_config import read_config;"
        "from yuqing.settings import load_settings;"
        "config = read_config(Path(sys.argv[1])).model_copy(update={'out': Path(sys.argv[2])});"
        "train(config, load_settings())"
    )
    before = (tiny / "halves/checkpoint.pt").stat().st_mtime_ns
    child = subprocess.Popen([sys.executable, "-c", program, str(tiny / "run.yaml"), str(tiny / "halves")])
    while (tiny / "halves/checkpoint.pt").stat().st_mtime_ns == before and child.poll() is None:
        time.sleep(0.02)
    child.kill()
    child.wait()
    resumed = train(halves, settings)
    assert resumed["losses"] == whole["losses"]
    assert resumed["validation_cer"] == whole["validation_cer"]
    expected = adapter(tiny / "whole")
    assert all(torch.equal(expected[name], values) for name, values in adapter(tiny / "halves").items())
    assert json.loads((tiny / "whole/run.json").read_text()) == whole
    assert (tiny / "whole/curve.png").read_bytes().startswith(b"\x89PNG")
    other = config.model_copy(update={"learning_rate": 0.01})
    with pytest.raises(TrainingError, match="another run"):
        train(other, settings)


@pytest.mark.slow
def test_it_stops_early_and_what_it_wrote_is_served(tiny: Path) -> None:
    from faster_whisper import WhisperModel

    config = read_config(tiny / "run.yaml").model_copy(
        update={"out": tiny / "early", "learning_rate": 1e-9, "patience": 1, "epochs": 5}
    )
    card = train(config, load_settings())
    assert card["early_stop"] and card["finished"] and card["steps"] == 3
    assert card["best_epoch"] == 0
    assert card["model"] == "tiny-early"
    model = WhisperModel(str(tiny / "early/tiny-early"), device="cpu", compute_type="int8", local_files_only=True)
    segments, _ = model.transcribe(np.zeros(16_000, np.float32), language="zh", max_new_tokens=5)
    assert len(list(segments)) <= 5
