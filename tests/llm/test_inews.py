import os
import pickle

import pytest

from llm.inews import DatasetError, load, read_plain_pickle


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/evil",)


def test_plain_lists_are_read() -> None:
    plain = (["标题"], ["正文"], [2])
    assert read_plain_pickle(pickle.dumps(plain)) == plain


@pytest.mark.parametrize("value", [_Evil(), [os.path.join], pytest.raises])
def test_a_pickle_that_names_anything_is_refused(value: object) -> None:
    with pytest.raises(DatasetError, match="names"):
        read_plain_pickle(pickle.dumps(value))


@pytest.mark.parametrize("data", [b"", b"garbage", pickle.dumps([1, 2])[:-3]])
def test_a_broken_pickle_is_refused(data: bytes) -> None:
    with pytest.raises(DatasetError):
        read_plain_pickle(data)


def test_the_split_has_texts_and_labels() -> None:
    documents = load("dev")
    assert len(documents) == 999
    assert {document.sentiment for document in documents} == {"positive", "neutral", "negative"}
    assert not any("\\n" in document.text for document in documents)
