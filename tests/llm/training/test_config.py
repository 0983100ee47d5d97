"""The YAML file of a run: what it may hold, and the errors of what it may not."""

from pathlib import Path

import pytest
import yaml

from llm.training.config import cpu_refusal, read_config
from llm.training.methods import check_hardware
from llm.training.samples import TrainingError

EXAMPLES = Path(__file__).parents[3] / "examples" / "training"
ACCELERATE = Path(__file__).parents[3] / "llm" / "training" / "accelerate"


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data: [a.jsonl]\nout: b\nlearning_rat: 1", r"learning_rat is not known .* did you mean learning_rate\?"),
        ("data: [a.jsonl]\nout: b\nzzz: 1", "zzz is not known .* known are base, data, out"),
        ("out: b", "data: Field required"),
        ("data: []\nout: b", "data: "),
        ("data: a.jsonl\nout: b\nmethod: full", "method: .*lora"),
        ("data: a.jsonl\nout: b\nvalidation: 0.9", "a share of 0 to 0.5"),
        ("data: a.jsonl\nout: b\nmethod: p-tuning\nbatching: pack", "cannot be packed"),
        (
            "data: a.jsonl\nout: b\nmethod: prefix-tuning\ngradient_checkpointing: true",
            "gradient checkpointing forgets",
        ),
        ("data: a.jsonl\nout: b\nvalidation: 0\npatience: 2", "patience needs a validation"),
        ("- a", "no names and values"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_told_with_the_cure(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(TrainingError, match=f"run.yaml:? .*({reason})|{reason}"):
        read_config(_file(tmp_path, text))


def test_changes_are_put_over_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "data: a.jsonl\nout: b\nrank: 4")
    config = read_config(path, ("rank=16", "validation=dev.jsonl", "targets=[q_proj]"))
    assert (config.rank, config.validation, config.targets, config.data) == (
        16,
        "dev.jsonl",
        ("q_proj",),
        (Path("a.jsonl"),),
    )
    for change in ("rank", "rnk=1"):
        with pytest.raises(TrainingError):
            read_config(path, (change,))


def test_what_the_cpu_engine_leaves_to_the_other(tmp_path: Path) -> None:
    path = _file(tmp_path, "data: a.jsonl\nout: b")
    assert cpu_refusal(read_config(path)) is None
    for change in ("method=p-tuning", "dropout=0.1", "batching=pack", "gradient_checkpointing=true"):
        assert cpu_refusal(read_config(path, (change,)))


def test_a_quantised_base_needs_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)  # of a machine that has one
    with pytest.raises(TrainingError, match="qlora needs a CUDA GPU"):
        check_hardware(read_config(_file(tmp_path, "data: a.jsonl\nout: b\nmethod: qlora")))


def test_the_examples_and_the_launch_files_can_be_read() -> None:
    examples = sorted(EXAMPLES.glob("*.yaml"))
    assert len(examples) >= 3
    for path in examples:
        read_config(path)
    launch = {path.stem: yaml.safe_load(path.read_text()) for path in ACCELERATE.glob("*.yaml")}
    assert set(launch) == {"fsdp", "zero2", "zero3"}
    load = pytest.importorskip("accelerate.commands.config.config_args").load_config_from_file
    for name in launch:
        assert load(str(ACCELERATE / f"{name}.yaml")).mixed_precision == "bf16"
