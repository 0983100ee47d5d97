"""Models on S3: pushed, fetched, verified."""

import json
from pathlib import Path

import pytest

from yuqing import model_store
from yuqing.model_sources import ModelDamaged, ModelUnavailable
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "made" / "baichuan-converted"
    (folder / "parts").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "parts" / "weights.bin").write_bytes(bytes(range(256)) * 40)
    return folder


def test_what_was_pushed_comes_back_whole(store: ObjectStore, settings: Settings, tmp_path: Path, model: Path) -> None:
    here = settings.model_copy(update={"cache_dir": tmp_path / "cache"})
    with pytest.raises(ModelUnavailable, match="no model baichuan-converted"):
        model_store.fetch(store, model.name, here)
    assert model_store.push(store, model) == "models/baichuan-converted/"
    assert model_store.fetch(store, model.name, here)
    folder = here.cache / "models" / model.name
    assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()} == {
        "config.json": b"{}",
        "parts/weights.bin": bytes(range(256)) * 40,
    }
    assert not model_store.fetch(store, model.name, here), "it is there"
    (model / "config.json").write_text('{"new": 1}')
    model_store.push(store, model)
    assert model_store.fetch(store, model.name, here), "another size"
    assert (folder / "config.json").read_text() == '{"new": 1}'


def test_a_fetch_that_was_killed_goes_on_and_wrong_bytes_are_refused(
    store: ObjectStore, settings: Settings, tmp_path: Path, model: Path
) -> None:
    here = settings.model_copy(update={"cache_dir": tmp_path / "cache"})
    model_store.push(store, model)
    partial = here.cache / "models" / f".{model.name}.partial"
    partial.mkdir(parents=True)
    (partial / "config.json").write_text("{}")
    store.put("models/baichuan-converted/parts/weights.bin", bytes(256 * 40))
    with pytest.raises(ModelDamaged, match=r"parts/weights.bin has the sha256"):
        model_store.fetch(store, model.name, here)
    assert not (here.cache / "models" / model.name).exists()
    assert [path.name for path in partial.rglob("*") if path.is_file()] == ["config.json"]
    store.delete("models/baichuan-converted/config.json")  # it is there, so it is not asked for
    store.put("models/baichuan-converted/parts/weights.bin", bytes(range(256)) * 40)
    assert model_store.fetch(store, model.name, here)


def test_a_model_of_the_manifest_is_what_the_manifest_says(
    store: ObjectStore, settings: Settings, tmp_path: Path
) -> None:
    folder = tmp_path / "whisper-base"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    model_store.push(store, folder)
    with pytest.raises(ModelDamaged, match="config.json has 2 bytes, not 2309"):
        model_store.fetch(store, "whisper-base", settings.model_copy(update={"cache_dir": tmp_path / "cache"}))


def test_a_list_cannot_name_files_elsewhere(store: ObjectStore, settings: Settings, tmp_path: Path) -> None:
    store.put("models/bad/files.json", json.dumps({"../../x": {"size": 1, "sha256": "0"}}).encode())
    with pytest.raises(ModelDamaged, match=r"names \.\./\.\./x"):
        model_store.fetch(store, "bad", settings.model_copy(update={"cache_dir": tmp_path / "cache"}))
