"""Finding a Java, and the wrapper around it."""

import subprocess
from pathlib import Path

import pytest

from cleaning.java import JavaMissing, java_home, java_program


def test_the_wrapper_leaves_out_the_incubator_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "jdk" / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nfor argument do echo "<$argument>"; done\n')
    program.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    home = java_home(java_program(), tmp_path / "cache")
    command = [str(home / "bin" / "java"), "--add-modules=jdk.incubator.vector", "-cp", "a b", "Main"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "<-cp>\n<a b>\n<Main>\n"
    # A second driver that finds its own wrapper in JAVA_HOME does not wrap it again.
    monkeypatch.setenv("JAVA_HOME", str(home))
    assert java_home(java_program(), tmp_path / "cache") == home
    assert f'exec "{program}"' in (home / "bin" / "java").read_text()


def test_a_wrong_java_home_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(JavaMissing, match="nowhere"):
        java_program()
