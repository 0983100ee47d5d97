"""Training on a tiny model: the real loop, forked workers and checkpoints."""

import errno
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from llm.dataset import Sample, make_sample
from llm.inews import LabelledNews
from llm.training.frozen import FrozenLayers, FrozenStates
from llm.training.run import rate, train
from llm.training.samples import Encoded, TrainConfig, TrainingError, make_batches
from llm.training.scoring import accuracy_and_macro_f1

CONFIG = TrainConfig(
    last_layers=1, rank=2, batch_size=4, max_tokens=4000, checkpoint_every=1, workers=1, learning_rate=1e-2
)


def samples() -> list[Sample]:
    """24 samples whose label the title gives away."""
    words = {"negative": "亏损", "neutral": "会议", "positive": "获奖"}
    news = [
        LabelledNews(f"滴滴{word}{number}", "滴滴今天发布消息。", label)  # type: ignore[arg-type]
        for number in range(8)
        for label, word in words.items()
    ]
    chance = random.Random(1)
    return [make_sample(item, full=index % 4 == 0, budget=60, extract=lambda text, count: ["滴滴"], chance=chance)
            for index, item in enumerate(news)]  # fmt: skip


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def test_batches_hold_every_sample_once_and_are_of_like_length() -> None:
    items = [Encoded([0] * size, 0) for size in random.Random(3).sample(range(1, 400), 103)]
    batches = make_batches(items, 8, random.Random(1))
    assert sorted(index for batch in batches for index in batch) == list(range(103))
    assert all(max(len(items[i].ids) for i in batch) - min(len(items[i].ids) for i in batch) < 60 for batch in batches)


def test_the_rate_warms_up_and_falls() -> None:
    rates = [rate(step, 100, TrainConfig()) for step in range(100)]
    assert rates[0] < rates[5] == max(rates)
    assert rates[6:] == sorted(rates[6:], reverse=True)
    assert rates[-1] > 0


def test_accuracy_and_macro_f1() -> None:
    accuracy, macro = accuracy_and_macro_f1(["positive", "neutral", "neutral"], ["positive", "neutral", "negative"])
    assert accuracy == pytest.approx(2 / 3)
    assert macro == pytest.approx((1 + 2 / 3 + 0) / 3)


@pytest.mark.slow
def test_stopped_and_gone_on_it_ends_with_the_same_weights(base: Path, tmp_path: Path) -> None:
    import torch

    whole = train(base, samples(), samples()[:6], tmp_path / "whole", CONFIG)
    train(base, samples(), [], tmp_path / "halves", CONFIG, max_steps=3)
    halves = train(base, samples(), [], tmp_path / "halves", CONFIG)
    assert whole["losses"] == halves["losses"]
    assert len(whole["losses"]) == whole["steps"] == 6
    assert whole["losses"][-1] < whole["losses"][0]
    for name, weight in _weights(tmp_path / "whole").items():
        assert torch.equal(weight, _weights(tmp_path / "halves")[name])
    assert json.loads((tmp_path / "whole" / "run.json").read_text())["dev"]["documents"] == 6
    with pytest.raises(TrainingError, match="another run"):
        train(base, samples()[:8], [], tmp_path / "whole", CONFIG)


@pytest.mark.slow
def test_two_workers_take_the_steps_of_one(base: Path, tmp_path: Path) -> None:
    one = train(base, samples(), [], tmp_path / "one", CONFIG)
    two = train(base, samples(), [], tmp_path / "two", TrainConfig(**{**CONFIG.__dict__, "workers": 2}))
    assert two["losses"] == pytest.approx(one["losses"], rel=0.02)


@pytest.mark.slow
def test_killed_it_goes_on(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    program = (
        "import sys; from pathlib import Path; from tests.llm.training.test_run import CONFIG, samples, train;"
        "train(Path(sys.argv[1]), samples(), [], Path(sys.argv[2]), CONFIG)"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(base), str(out)], cwd=Path(__file__).parents[3])
    while not (out / "checkpoint.pt").exists() and child.poll() is None:
        time.sleep(0.02)
    child.kill()
    child.wait()
    whole = train(base, samples(), [], tmp_path / "whole", CONFIG)
    assert train(base, samples(), [], out, CONFIG)["losses"] == whole["losses"]


@pytest.mark.slow
def test_what_the_frozen_layers_say_is_kept_and_changes_nothing(base: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=2)
    kept = train(base, samples(), samples()[:6], tmp_path / "kept", config, states=tmp_path / "states")
    size = sum(path.stat().st_size for path in (tmp_path / "states").glob("frozen-*.f16"))
    again = train(base, samples(), samples()[:6], tmp_path / "again", config, states=tmp_path / "states")
    assert again["losses"] == kept["losses"]
    whole = train(base, samples(), samples()[:6], tmp_path / "whole", config)
    assert whole["losses"] == kept["losses"]
    assert whole["dev"] == max(whole["epochs"], key=lambda one: (one["accuracy"], one["macro_f1"]))
    assert len(whole["epochs"]) == 2
    assert size > 0
    assert not list((tmp_path / "whole").glob("frozen*"))


@pytest.mark.slow
def test_in_bfloat16_it_learns_what_float32_learns(base: Path, tmp_path: Path) -> None:
    half = replace(CONFIG, bf16=True)
    plain = train(base, samples(), samples()[:6], tmp_path / "plain", replace(CONFIG, epochs=2))
    rounded = train(base, samples(), samples()[:6], tmp_path / "half", replace(half, epochs=2))
    assert rounded["losses"] != plain["losses"]
    assert rounded["losses"] == pytest.approx(plain["losses"], rel=0.02)  # eight bits of a number: 2^-8 each
    train(base, samples(), samples()[:6], tmp_path / "cut", replace(half, epochs=2), max_steps=2)
    again = train(base, samples(), samples()[:6], tmp_path / "cut", replace(half, epochs=2))
    assert again["losses"] == rounded["losses"]


@pytest.mark.slow
def test_split_at_a_layer_the_model_says_the_same(base: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    prefix, rows = [3, 4, 5], [[6, 7], [8, 9, 10, 11], [12]]
    states = FrozenStates(tmp_path / "states.f16", [len(row) for row in rows], model.config.hidden_size, "tiny")
    with torch.no_grad():
        split = FrozenLayers(model, prefix, 1).hidden_states(states, rows, [2, 1])
        for place, row in enumerate([rows[2], rows[1]]):
            whole = model.model(torch.tensor([[*prefix, *row]])).last_hidden_state[0, len(prefix) :]
            assert torch.allclose(split[place, : len(row)], whole, atol=2e-3)
    assert 0 not in states
    assert 1 in states
    assert 1 in FrozenStates(tmp_path / "states.f16", [2, 4, 1], model.config.hidden_size, "tiny")
    assert 1 not in FrozenStates(tmp_path / "states.f16", [2, 4, 1], model.config.hidden_size, "another")


@pytest.mark.slow
def test_begun_with_an_adapter_it_begins_where_that_ended(base: Path, tmp_path: Path) -> None:
    first = train(base, samples(), [], tmp_path / "first", CONFIG)
    second = train(base, samples(), [], tmp_path / "second", replace(CONFIG, start=str(tmp_path / "first")))
    assert sum(second["losses"]) < sum(first["losses"])
    with pytest.raises(TrainingError, match="not of this run"):
        train(base, samples(), [], tmp_path / "third", replace(CONFIG, rank=4, start=str(tmp_path / "first")))


@pytest.mark.slow
def test_it_ends_early_and_tells_of_a_full_disk_and_a_broken_checkpoint(base: Path, tmp_path: Path) -> None:
    # A rate that changes nothing: no epoch is better than the first.
    still = replace(CONFIG, epochs=6, patience=2, learning_rate=1e-12, scheduler="constant")
    card = train(base, samples(), samples()[:6], tmp_path / "still", still)
    assert len(card["epochs"]) == 3 and card["steps"] == 18
    full = tmp_path / "full"
    full.mkdir()
    (full / "checkpoint.part").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match="checkpoint.pt cannot be written"):
        train(base, samples(), [], full, replace(CONFIG, workers=2))
    whole = train(base, samples(), [], tmp_path / "whole", CONFIG)
    assert train(base, samples(), [], full, CONFIG)["losses"] == whole["losses"]
    (full / "checkpoint.pt").write_bytes((full / "checkpoint.pt").read_bytes()[:5000])
    with pytest.raises(TrainingError, match="is no checkpoint"):
        train(base, samples(), [], full, CONFIG)


def test_without_room_for_the_states_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(TrainingError, match="no place for 1 MiB .* No space left") as caught:
        FrozenStates(tmp_path / "states.f16", [512], 1024, "tiny")
    assert "states" in caught.value.cure
    assert not list(tmp_path.iterdir())
