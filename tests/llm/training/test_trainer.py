"""The accelerate engine on the tiny model: exact resume, what can go wrong with checkpoints, all methods."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from llm.dataset import Sample
from llm.training.base import load_base
from llm.training.checkpoints import is_whole, newest_whole
from llm.training.config import RunConfig
from llm.training.samples import TrainingError

pytestmark = pytest.mark.service


def samples() -> list[Sample]:
    """24 short ones whose label the title gives away, of several lengths."""
    words = {"negative": "亏损", "neutral": "会议", "positive": "获奖"}
    return [
        Sample(({"role": "user", "content": f"滴滴{word}{'很' * number}"},), f'{{"sentiment":"{label}"', False, label)
        for number in range(8)
        for label, word in words.items()
    ]


def config(out: Path, **changes: Any) -> RunConfig:
    """Six steps of four samples an epoch."""
    plain: dict[str, Any] = {
        "data": (Path("none"),), "out": out, "engine": "accelerate", "last_layers": 1, "rank": 2, "batch_size": 4,
        "cutoff": 150, "checkpoint_every": 1, "learning_rate": 1e-2,
    }  # fmt: skip
    return RunConfig(**plain | changes)


def run(base: Path, out: Path, *, dev: int = 6, max_steps: int | None = None, **changes: Any) -> dict[str, Any]:
    """Train on the 24 samples."""
    import torch

    from llm.training.trainer import train

    torch.set_num_threads(1)  # so small a model gains nothing from a second one

    return train(base, samples(), samples()[:dev], config(out, **changes), max_steps=max_steps)


def _weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


def _equal(one: Path, other: Path) -> bool:
    import torch

    first, second = _weights(one), _weights(other)
    return first.keys() == second.keys() and all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_it_learns_goes_on_exactly_and_from_the_checkpoint_before_a_broken_one(base: Path, tmp_path: Path) -> None:
    whole = run(base, tmp_path / "whole", dropout=0.1)
    assert whole["steps"] == len(whole["losses"]) == 6
    assert whole["losses"][-1] < whole["losses"][0]
    assert whole["dev"]["documents"] == 6 and whole["dev"]["loss"] == min(each["loss"] for each in whole["epochs"])
    for name in ("adapter_config.json", "run.json", "history.jsonl", "loss.png"):
        assert (tmp_path / "whole" / name).stat().st_size > 0

    halves = tmp_path / "halves"
    stopped = run(base, halves, dropout=0.1, max_steps=3)
    assert stopped["steps"] == 3
    checkpoints = halves / "checkpoints"
    # What a kill in the middle of a checkpoint leaves: a folder without its mark, and one with a file cut off.
    shutil.copytree(checkpoints / "checkpoint-3", checkpoints / "checkpoint-4")
    (checkpoints / "checkpoint-4" / "whole.json").unlink()
    optimizer = checkpoints / "checkpoint-3" / "optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:100])
    assert not is_whole(checkpoints / "checkpoint-3")
    with pytest.raises(TrainingError, match="another run's checkpoints"):
        run(base, halves, dropout=0.1, rank=4)
    gone_on = run(base, halves, dropout=0.1)
    assert gone_on["losses"] == whole["losses"]
    assert _equal(tmp_path / "whole", halves)
    steps = [json.loads(line) for line in (halves / "history.jsonl").read_text().splitlines()]
    assert [row["step"] for row in steps if "loss" in row] == [1, 2, 3, 4, 5, 6]


def test_batches_add_up_and_a_full_disk_is_told(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = run(base, tmp_path / "one", dev=0)
    # All samples in one step: its gradient is the same in four batches, and with several samples in a row.
    whole = run(base, tmp_path / "whole", dev=0, batch_size=24, epochs=3)
    parts = run(base, tmp_path / "parts", dev=0, batch_size=6, accumulation=4, epochs=3)
    bins = run(base, tmp_path / "bins", dev=0, batch_size=11, batching="pack", epochs=3)
    assert bins["rows"] == 11 and whole["steps"] == parts["steps"] == bins["steps"] == 3
    assert parts["losses"] == pytest.approx(whole["losses"], rel=1e-3)
    assert bins["losses"] == pytest.approx(whole["losses"], rel=1e-3)

    full = tmp_path / "full"
    (full / "checkpoints" / "checkpoint-2").mkdir(parents=True)
    (full / "checkpoints" / "checkpoint-2" / "optimizer.pt").symlink_to("/dev/full")
    broken = full / "checkpoints" / "checkpoint-2"
    assert newest_whole(full / "checkpoints", remove=False) is None and broken.exists()
    with monkeypatch.context() as patch:  # the folder that stands for a full disk must outlive the look for whole ones
        patch.setattr("llm.training.trainer.newest_whole", lambda folder, remove: None)
        with pytest.raises(TrainingError, match="training stopped: .*the disk is probably full"):
            run(base, full, dev=0)
    assert run(base, full, dev=0)["losses"] == one["losses"]
    assert _equal(tmp_path / "one", full)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "p-tuning", "virtual_tokens": 3},
        {"method": "prefix-tuning", "virtual_tokens": 3},
        {"gradient_checkpointing": True, "last_layers": 0},
        {"bf16": True, "batching": "pack", "scheduler": "linear"},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_a_step_of_each_kind_lowers_the_loss_on_what_was_learnt(
    base: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    card = run(base, tmp_path / "out", dev=24, batch_size=24, epochs=4, **changes)
    assert card["epochs"][-1]["loss"] < card["losses"][0]
    assert all(tensor.isfinite().all() for tensor in _weights(tmp_path / "out").values())


@pytest.mark.slow
def test_two_devices_take_the_steps_of_one(base: Path, tmp_path: Path) -> None:
    """By two processes, as accelerate and torchrun start them; 24 samples in steps of 20, so that the last is not whole."""
    one = run(base, tmp_path / "one", batch_size=20, epochs=3)
    program = tmp_path / "two.py"
    program.write_text(
        "import sys; from pathlib import Path; from tests.llm.training.test_trainer import run;"
        "run(Path(sys.argv[1]), Path(sys.argv[2]), batch_size=5, accumulation=2, epochs=3)"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(program)]
    root = Path(__file__).parents[3]
    environment = dict(os.environ) | {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, str(base), str(tmp_path / "two")], check=True, cwd=root, env=environment, timeout=500)
    two = json.loads((tmp_path / "two" / "run.json").read_text())
    assert two["steps"] == one["steps"] == 4
    assert two["losses"] == pytest.approx(one["losses"], rel=0.01)  # the rows of a step are not quite the same
    assert two["dev"]["loss"] == pytest.approx(one["dev"]["loss"], rel=0.01)


@pytest.mark.slow
def test_killed_it_goes_on(base: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    program = (
        "import sys; from pathlib import Path; from tests.llm.training.test_trainer import run;"
        "run(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(base), str(out)], cwd=Path(__file__).parents[3])
    while newest_whole(out / "checkpoints", remove=False) is None and child.poll() is None:
        time.sleep(0.02)
    child.kill()
    child.wait()
    whole = run(base, tmp_path / "whole")
    assert run(base, out)["losses"] == whole["losses"]
    assert _equal(tmp_path / "whole", out)


def test_a_base_that_is_none_is_told(base: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    def copy(name: str) -> Path:
        return Path(shutil.copytree(base, tmp_path / name))

    with pytest.raises(TrainingError, match="there is no base model in"):
        load_base(tmp_path / "nothing")
    for name, file in (("config", "config.json"), ("weights", "model.safetensors"), ("tokenizer", "tokenizer.json")):
        folder = copy(name)
        (folder / file).unlink()
        with pytest.raises(TrainingError, match=f"has no {name}"):
            load_base(folder)
    cut = copy("cut")
    (cut / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:-400])
    with pytest.raises(TrainingError, match="cannot be loaded"):
        load_base(cut)
    other = copy("other")
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens([f"新词{number}" for number in range(40)])
    tokenizer.save_pretrained(other)
    with pytest.raises(TrainingError, match="it is that of another model"):
        load_base(other)
    with pytest.raises(TrainingError, match="cannot be adapted"):
        run(base, tmp_path / "out", targets=("c_attn",))
    with pytest.raises(TrainingError, match="no sample has at most 16 tokens"):
        run(base, tmp_path / "out", cutoff=16)
    with pytest.raises(TrainingError, match="holds no adapter"):
        run(base, tmp_path / "out", start=tmp_path)
