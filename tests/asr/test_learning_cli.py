"""`yuqing asr evaluate`, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.speech import TEST


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-m", "yuqing", "asr", *arguments], capture_output=True, text=True, check=False, cwd=root,
        env={**os.environ, "YUQING_DATA_DIR": str(folder)},
    )  # fmt: skip


@pytest.mark.service
def test_figures_by_condition(tmp_path: Path) -> None:
    output = tmp_path / "heard.jsonl"
    done = run("evaluate", str(TEST), "--limit", "2", "--conditions", "clean,telephone", "--output", str(output), "--json",
               folder=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["model"] == "whisper-base"
    assert [row["condition"] for row in found["conditions"]] == ["clean", "telephone", "all"]
    clean = found["conditions"][0]
    assert clean["cer"] < 0.25 and clean["wer"] < 0.4 and clean["rtf"] > 0
    lines = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(line["id"], line["condition"]) for line in lines] == [
        (name, condition) for name in ("test-01", "test-02") for condition in ("clean", "telephone")
    ]
    assert sum(line["names_said"] for line in lines) == 2 * 6
    errors = sum(
        sum(line["characters"][kind] for kind in ("substitutions", "deletions", "insertions")) for line in lines
    )
    assert found["conditions"][2]["cer"] == pytest.approx(
        errors / sum(line["characters"]["reference"] for line in lines), abs=1e-4
    )


@pytest.mark.service
def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"audio": 1}')
    done = run("evaluate", str(tmp_path / "m.jsonl"), folder=tmp_path)
    assert done.returncode == 2
    assert "m.jsonl, line 1: audio:" in done.stderr
    assert "Traceback" not in done.stderr
