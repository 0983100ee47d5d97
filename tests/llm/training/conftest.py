"""The tiny model, once for all tests of training."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder, with the hashes by which adapters know their base."""
    from tests.llm.tiny import save_tiny_model, write_manifest

    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_model(folder)
    write_manifest(folder)
    return folder
