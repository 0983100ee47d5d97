"""What is refused: nothing is executed, nothing half done is left, and the message says what to do."""

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from llm.baichuan import ConversionError
from llm.baichuan.convert import check_converted, convert
from llm.baichuan.folder import new_folder
from tests.llm.baichuan.conftest import Checkpoint, Make

BIN = "pytorch_model-00002-of-00002.bin"
SAFE = "model-00002-of-00002.safetensors"
INDEX = "pytorch_model.bin.index.json"


def edit(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file; None removes one."""
    value = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: entry for name, entry in value.items() if entry is not None}))


def cut(path: Path, share: float = 0.7) -> None:
    """Keep the first part of a file, as a broken download does."""
    os.truncate(path, int(path.stat().st_size * share))


def resave(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write a .bin again with other tensors."""
    tensors = torch.load(path, weights_only=True)
    torch.save(change(tensors), path)


def flip(path: Path) -> None:
    """Turn one byte in the middle, as a bad disk does."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))


def index_to(name: str) -> Callable[[Path], None]:
    """The index names another file."""
    return lambda folder: edit(folder / INDEX, weight_map={"lm_head.weight": name})


def with_nan(tensors: dict[str, Any]) -> dict[str, Any]:
    """One number that is none."""
    tensors["lm_head.weight"][5, 5] = float("nan")
    return tensors


BAD: dict[str, tuple[int, Callable[[Path], Any], str]] = {
    "shard missing": (2, lambda folder: (folder / BIN).unlink(), "1 of 2 weight files are missing"),
    "shard truncated": (2, lambda folder: cut(folder / BIN), "truncated or not a checkpoint"),
    "shard empty": (2, lambda folder: (folder / BIN).write_bytes(b""), "truncated or not a checkpoint"),
    "shard damaged": (2, lambda folder: flip(folder / BIN), "damaged|truncated"),
    "weights not downloaded": (
        2,
        lambda folder: (folder / BIN).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
        "placeholder of Git LFS",
    ),
    "weights missing": (2, lambda folder: [path.unlink() for path in folder.glob("pytorch_model*")], "holds no weights"),
    "index of nothing": (2, lambda folder: (folder / INDEX).write_text('{"weight_map": {}}'), "names no files"),
    "index cut": (2, lambda folder: cut(folder / INDEX), "cannot be read"),
    "index leads outside": (2, index_to("../other/model.bin"), "no weight file beside it"),
    "configuration missing": (2, lambda folder: (folder / "config.json").unlink(), "config.json is missing"),
    "configuration cut": (2, lambda folder: cut(folder / "config.json"), "cannot be read"),
    "tokenizer missing": (2, lambda folder: (folder / "tokenizer.model").unlink(), "tokenizer.model is missing"),
    "13B of the first generation": (
        2,
        lambda folder: edit(folder / "config.json", max_position_embeddings=None, model_max_length=4096),
        "ALiBi",
    ),
    "13B by its width": (2, lambda folder: edit(folder / "config.json", hidden_size=5120), "ALiBi"),
    "another architecture": (2, lambda folder: edit(folder / "config.json", architectures=["X"]), "names the architecture"),
    "another model": (2, lambda folder: edit(folder / "config.json", model_type="qwen2"), "model type 'qwen2'"),
    "quantised": (2, lambda folder: edit(folder / "config.json", quantization_config={"bits": 4}), "quantised"),
    "stretched": (2, lambda folder: edit(folder / "config.json", rope_scaling={"factor": 2}), "rotary embedding"),
    "other generation's words": (1, lambda folder: edit(folder / "config.json", vocab_size=125_696), "other generation"),
    "words of another type": (2, lambda folder: edit(folder / "config.json", vocab_size="many"), "vocab_size is 'many'"),
    "another width": (2, lambda folder: edit(folder / "config.json", intermediate_size=180), "config.json wants"),
    "uneven heads": (2, lambda folder: edit(folder / "config.json", num_attention_heads=3), "cannot be cut"),
    "a layer less": (2, lambda folder: edit(folder / "config.json", num_hidden_layers=3), "lacks 7 of 24 tensors"),
    "a layer more": (2, lambda folder: edit(folder / "config.json", num_hidden_layers=1), "does not have"),
    "not a number": (2, lambda folder: resave(folder / BIN, with_nan), "infinities or NaN"),
    "a list of tensors": (2, lambda folder: resave(folder / BIN, lambda found: list(found.values())), "holds a list"),
    "a tensor among others": (2, lambda folder: resave(folder / BIN, lambda found: {"all": found}), "not a dense tensor"),
    "two types": (2, lambda folder: resave(folder / BIN, lambda f: {n: t.half() for n, t in f.items()}), "of the types"),
    "a tensor twice": (
        2,
        lambda folder: resave(folder / BIN, lambda found: found | {"model.embed_tokens.weight": torch.zeros(1)}),
        "lies in",
    ),
    "other frequencies": (
        1,
        lambda folder: resave(
            folder / BIN, lambda found: {n: t * 0.5 if n.endswith("inv_freq") else t for n, t in found.items()}
        ),
        "not the rotary embedding",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_checkpoint_that_is_not_whole_or_not_baichuans_is_refused(
    checkpoint: Make, tmp_path: Path, case: str
) -> None:
    generation, spoil, reason = BAD[case]
    folder = checkpoint(generation).folder
    spoil(folder)
    with pytest.raises(ConversionError, match=reason) as caught:
        convert(folder, tmp_path / "converted")
    assert caught.value.cure
    assert not list(tmp_path.glob("*converted*"))


@pytest.mark.parametrize(
    "spoil", [cut, lambda path: path.write_bytes(b"\xff" * 64), lambda path: path.write_bytes(b"")]
)
def test_a_broken_safetensors_file_is_refused(checkpoint: Make, tmp_path: Path, spoil: Callable[[Path], Any]) -> None:
    folder = checkpoint(2, safe=True).folder
    spoil(folder / SAFE)
    with pytest.raises(ConversionError, match="truncated or damaged"):
        convert(folder, tmp_path / "converted")


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.path}",))


def replace_pickle(path: Path, data: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    """Put another pickle into a .bin, with right checksums."""
    with zipfile.ZipFile(path) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(name, data if name.endswith("data.pkl") else content)


@pytest.mark.parametrize("way", ["in the zip", "beside the tensors", "bare"])
def test_a_bin_that_would_run_code_is_refused_and_runs_none(checkpoint: Make, tmp_path: Path, way: str) -> None:
    folder, proof = checkpoint(2).folder, tmp_path / "executed"
    bomb = pickle.dumps(Bomb(proof), protocol=2)
    if way == "in the zip":
        replace_pickle(folder / BIN, bomb)
    elif way == "beside the tensors":
        tensors = torch.load(folder / BIN, weights_only=True)
        torch.save(tensors | {"extra": Bomb(proof)}, folder / BIN)
    else:
        (folder / BIN).write_bytes(bomb)
    with pytest.raises(ConversionError, match="might run code" if way != "bare" else "not a checkpoint") as caught:
        convert(folder, tmp_path / "converted")
    assert not proof.exists()
    assert way == "bare" or "posix.system" in caught.value.message
    pickle.loads(bomb)
    assert proof.exists(), "the bomb was meant to work"


def test_a_compressed_bin_is_refused(checkpoint: Make, tmp_path: Path) -> None:
    folder = checkpoint(2).folder
    with zipfile.ZipFile(folder / BIN) as archive:
        data = next(archive.read(entry) for entry in archive.infolist() if entry.filename.endswith("data.pkl"))
    replace_pickle(folder / BIN, data, zipfile.ZIP_DEFLATED)
    with pytest.raises(ConversionError, match="compressed"):
        convert(folder, tmp_path / "converted")


def command(original: Checkpoint, target: Path) -> list[str]:
    return [sys.executable, "-m", "yuqing", "llm", "convert-baichuan", str(original.folder), str(target)]


def test_a_disk_that_fills_up_leaves_nothing(checkpoint: Make, tmp_path: Path) -> None:
    original, target = checkpoint(2), tmp_path / "converted"

    def limit() -> None:  # the system refuses to let a file grow, as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    done = subprocess.run(command(original, target), capture_output=True, text=True, timeout=120, preexec_fn=limit)
    assert done.returncode == 2 and "make room" in done.stderr, done.stderr
    assert not list(tmp_path.glob("*converted*"))


def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="GiB left"), new_folder(tmp_path / "converted", 2**60):
        raise AssertionError("must not begin")
    assert list(tmp_path.iterdir()) == []


def test_one_conversion_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "converted"
    with new_folder(target, 0) as partial:
        (partial / "file").write_text("1")
        with pytest.raises(ConversionError, match="another process"), new_folder(target, 0):
            raise AssertionError("must not begin")
    assert (target / "file").read_text() == "1"


@pytest.mark.slow
def test_a_conversion_killed_at_any_time_leaves_none_or_a_whole_one(checkpoint: Make, tmp_path: Path) -> None:
    original, target = (
        checkpoint(2, num_hidden_layers=48, hidden_size=256, intermediate_size=688),
        tmp_path / "converted",
    )
    partial, killed = target.with_name(".converted.partial"), 0
    for size in (0, 20_000_000, 60_000_000, 120_000_000):
        child = subprocess.Popen(command(original, target), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None:
            try:
                written = sum(path.stat().st_size for path in partial.iterdir())
            except FileNotFoundError:
                written = -1
            if written >= size:
                child.kill()
                killed += 1
                break
            time.sleep(0.001)
        child.wait()
        if target.exists():
            check_converted(target)
    assert killed >= 3
    subprocess.run(command(original, target), check=True, capture_output=True, timeout=300)
    check_converted(target)
    assert not partial.exists()
