"""`yuqing transcribe FILE...`: formats, several files, bad files."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from asr import transcriber as engine
from asr.cli import Format, app
from asr.transcriber import Transcriber
from examples.newsroom.recordings import RECORDINGS
from yuqing.errors import YuqingError
from yuqing.subtitles import FORMATS

Run = Callable[..., Result]


@pytest.fixture
def run(transcriber: Transcriber, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, with the session's model: loading it once is enough."""
    monkeypatch.setattr(engine, "Transcriber", lambda _settings: transcriber)

    def invoke(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


def test_formats_are_those_that_can_be_written() -> None:
    assert set(Format) == set(FORMATS)


def test_plain_text_is_the_default(run: Run, clip: Path) -> None:
    done = run(clip)
    assert done.exit_code == 0
    assert RECORDINGS[0].company in done.stdout
    assert "-->" not in done.stdout


def test_one_bad_file_does_not_stop_the_others(run: Run, clip: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp3"
    bad.write_bytes(b"nothing to hear" * 100)
    done = run(bad, clip, "--format", "json")
    assert done.exit_code == 1
    assert "bad.mp3 is no audio or video" in done.stderr
    (line,) = done.stdout.splitlines()
    transcript = json.loads(line)
    assert RECORDINGS[0].company in transcript["text"]
    assert transcript["segments"][0].keys() == {"start", "end", "text", "words"}


def test_names_to_expect(run: Run, clip: Path) -> None:
    done = run(clip, "--name", "华维", "--name", "小米")
    assert done.exit_code == 0
    assert RECORDINGS[0].company in done.stdout, "what the model is sure of stays"


def test_files_into_a_folder(run: Run, clip: Path, tmp_path: Path) -> None:
    done = run(clip, "--format", "srt", "--output", tmp_path / "out")
    assert done.exit_code == 0
    written = (tmp_path / "out" / f"{clip.stem}.srt").read_text(encoding="utf-8")
    assert written.startswith("1\n00:00:0")
    assert done.stdout == ""


@pytest.mark.parametrize(
    "arguments", [["--follow"], ["--replay", "quarantine/asr/"], ["--format", "srt"], ["--format", "vtt"]]
)
def test_options_that_exclude_each_other(run: Run, arguments: list[str]) -> None:
    done = run(*arguments, "a.mp3", "b.mp3")
    assert isinstance(done.exception, YuqingError)
