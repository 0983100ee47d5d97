"""Adapters on S3: pushed, compared, activated, served merged and at run time, rolled back; and what is refused."""

import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from llm import adapters_cli, inews
from llm.adapters import CARD, WEIGHTS, Adapter, AdapterError, load_adapter
from llm.compare import compare, mcnemar
from llm.merge import base_sha256
from llm.registry import (
    activate_compared,
    fetch,
    list_adapters,
    of_the_settings,
    push,
    to_serve,
    wanted,
    write_comparison,
)
from llm.serve import _note, _start_of, plan, running, under_its_name
from llm.sync import apply, is_loopback
from llm.triage import ensemble
from tests.llm.tiny import save_tiny_model, write_adapter, write_manifest
from yuqing.adapters import Choice, read_active, roll_back, stored
from yuqing.embedded import vllm
from yuqing.errors import YuqingError
from yuqing.objects import ObjectStore, ObjectStoreAway
from yuqing.settings import LLMSettings, Settings, get_settings

pytestmark = pytest.mark.service
KEY = "key-of-the-tests"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Adapter, Adapter]:
    """A base of two shards with its manifest, as a conversion leaves it, and two adapters for it."""
    folder = tmp_path_factory.mktemp("made")
    base = folder / "tiny"
    save_tiny_model(base)
    write_manifest(base)
    return base, write_adapter(folder / "first", base, 1), write_adapter(folder / "second", base, 2)


def _with(settings: Settings, tmp_path: Path, **llm: Any) -> Settings:
    changed = settings.llm.model_copy(update=llm)
    changed.__pydantic_fields_set__.difference_update({"adapter"} - set(llm))
    return settings.model_copy(update={"llm": changed, "cache_dir": tmp_path / "cache", "data_dir": tmp_path / "state"})


@pytest.fixture
def ours(settings: Settings, tmp_path: Path, made: tuple[Path, Adapter, Adapter]) -> Settings:
    """Settings whose base is the tiny model and that name no adapter."""
    default = settings.llm.model_copy(update={"base": str(made[0]), "adapter": ""})
    return _with(settings.model_copy(update={"llm": default}), tmp_path)


def _logits(folder: Path, adapter: Path | None = None) -> Any:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
    with torch.inference_mode():
        return model(torch.tensor([[1, 5, 9, 33, 70]])).logits


def test_an_adapter_goes_from_a_folder_to_the_server_and_back(
    store: ObjectStore, ours: Settings, made: tuple[Path, Adapter, Adapter], tmp_path: Path
) -> None:
    import torch

    base, first, second = made
    names = [push(store, adapter, ours) for adapter in (first, second)]
    assert names == [f"first-{first.digest[:8]}", f"second-{second.digest[:8]}"] == sorted(stored(store))
    assert push(store, first, ours) == names[0]
    assert wanted(ours) is None
    assert to_serve(ours) is None

    # Nothing was ever active: the bare base is what is replaced.
    with pytest.raises(AdapterError, match="no comparison with the bare base"):
        activate_compared(store, names[0], ours, by="tester")
    assert read_active(store).active is None
    active = activate_compared(store, names[0], ours, by="tester", force="the first one")
    assert (active.adapter, active.activated_by) == (names[0], "tester (forced: the first one)")
    assert [(each.name, each.active) for each in list_adapters(store)] == [(names[0], True), (names[1], False)]

    served = to_serve(ours)
    assert served is not None
    assert (served.served_name, served.digest) == (names[0], first.digest)
    what, command = plan(ours, "127.0.0.1", 8001)
    merged = Path(command[command.index("--model") + 1])
    assert what == merged.name == f"tiny-{base_sha256(ours)[:8]}+{names[0]}"
    assert "--lora-modules" not in command
    # Beside the base and merged into it (in its own bf16) the adapter says the same.
    beside, whole, bare = _logits(base, first.folder), _logits(merged), _logits(base)
    torch.testing.assert_close(whole, beside, rtol=0, atol=0.05)
    assert (bare - beside).abs().max() > 10 * (whole - beside).abs().max()

    at_run_time = _with(ours, tmp_path, adapter_mode="runtime")
    _, command = plan(at_run_time, "127.0.0.1", 8001)
    assert command[command.index("--served-model-name") + 1] == "yuqing-base"
    told = json.loads(command[command.index("--lora-modules") + 1])
    assert (told["name"], Path(told["path"]).name) == ("yuqing", names[0])

    # The second is worse than the first: neither no comparison nor a lost one will do.
    with pytest.raises(AdapterError, match=f"no comparison with {names[0]}"):
        activate_compared(store, names[1], ours, by="tester")
    human = ["positive", "neutral", "negative"] * 40
    lost = compare(human, ["positive"] * 120, human)
    write_comparison(second.folder, {"with": {"adapter": names[0], "sha256": first.digest}, "data": "made up", **lost})
    push(store, load_adapter(str(second.folder)), ours)
    with pytest.raises(AdapterError, match="is worse than first"):
        activate_compared(store, names[1], ours, by="tester")
    won = compare(human, human, ["positive"] * 120)
    write_comparison(second.folder, {"with": {"adapter": names[0], "sha256": first.digest}, "data": "made up", **won})
    push(store, load_adapter(str(second.folder)), ours)
    assert activate_compared(store, names[1], ours, by="tester").generation == 2
    assert getattr(to_serve(ours), "digest", None) == second.digest
    assert roll_back(store, by="tester").adapter == names[0]
    assert getattr(to_serve(ours), "digest", None) == first.digest

    # The default adapter is for another base: the bare base is served, unless it was named expressly.
    default = _with(ours, tmp_path)
    object.__setattr__(default.llm, "adapter", "inews-v2")
    assert of_the_settings(default) is None
    with pytest.raises(AdapterError, match="was trained on the base"):
        of_the_settings(_with(ours, tmp_path, adapter="inews-v2"))
    # What the settings name expressly comes first; what was active is remembered while S3 is away.
    assert to_serve(_with(ours, tmp_path, adapter=str(second.folder))) == load_adapter(str(second.folder))
    gone = ours.model_copy(
        update={
            "s3": ours.s3.model_copy(
                update={"endpoint": "http://127.0.0.1:9", "attempts": 1, "secret_key": SecretStr("x")}
            )
        }
    )
    assert getattr(to_serve(gone), "digest", None) == first.digest
    with pytest.raises(ObjectStoreAway):
        read_active(ObjectStore.from_settings(gone))


def test_what_does_not_fit_is_refused(
    store: ObjectStore, ours: Settings, made: tuple[Path, Adapter, Adapter], tmp_path: Path
) -> None:
    _, first, second = made
    with pytest.raises(AdapterError, match="was trained on the base"):
        push(store, load_adapter("inews-v2"), ours)
    name = push(store, first, ours)
    choice = Choice(adapter=name, sha256=first.digest)
    with pytest.raises(AdapterError, match="has rank 8"):
        low = _with(ours, tmp_path)
        object.__setattr__(low.llm, "max_lora_rank", 4)
        under_its_name(first, low)
    # Other weights under the name than were activated.
    store.put_file(f"adapters/{name}/{WEIGHTS}", second.folder / WEIGHTS)
    with pytest.raises(AdapterError, match="its card says"):
        fetch(store, choice, ours)
    with pytest.raises(AdapterError, match="its card says"):
        activate_compared(store, name, ours, by="tester", force="yes")
    store.put_file(f"adapters/{name}/{CARD}", second.folder / CARD)
    with pytest.raises(AdapterError, match="activated was"):
        fetch(store, choice, ours)
    assert read_active(store).active is None
    with pytest.raises(AdapterError, match="no adapter other"):
        activate_compared(store, "other", ours, by="tester", force="yes")
    (tmp_path / "bare").mkdir()
    with pytest.raises(AdapterError, match="does not tell its files' hashes"):
        base_sha256(_with(ours, tmp_path, base=str(tmp_path / "bare")))


def _die_after(method: str, calls: int) -> None:
    """kill -9 of this process before its call of the object store's method after so many."""
    original, done = getattr(ObjectStore, method), []

    def counted(*arguments: Any, **options: Any) -> Any:
        if len(done) == calls:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(1)
        return original(*arguments, **options)

    setattr(ObjectStore, method, counted)


def _killed(method: str, calls: int, settings: Settings, work: str, folder: Path) -> None:
    _die_after(method, calls)
    adapter = load_adapter(str(folder))
    fresh = ObjectStore.from_settings(settings)
    if work == "push":
        push(fresh, adapter, settings)
    else:
        fetch(fresh, Choice(adapter=adapter.served_name, sha256=adapter.digest), settings)


@pytest.mark.parametrize(("work", "method", "calls"), [("push", "put_file", 1), ("fetch", "download", 1)])
def test_killed_in_the_middle_it_is_not_taken_for_whole(
    store: ObjectStore, ours: Settings, made: tuple[Path, Adapter, Adapter], work: str, method: str, calls: int
) -> None:
    _, first, _ = made
    if work == "fetch":
        push(store, first, ours)
    child = multiprocessing.get_context("fork").Process(target=_killed, args=(method, calls, ours, work, first.folder))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    if work == "push":
        assert stored(store) == []
        assert push(store, first, ours) == first.served_name
    assert not (ours.cache / "adapters" / first.served_name).exists()
    whole = fetch(store, Choice(adapter=first.served_name, sha256=first.digest), ours)
    assert whole.digest == first.digest


@contextmanager
def _vllm(cards: list[dict[str, Any]], asked: list[tuple[str, str, Any]]) -> Iterator[str]:
    """What vLLM answers to GET /v1/models, POST /v1/load_lora_adapter and /v1/unload_lora_adapter."""

    class Handler(BaseHTTPRequestHandler):
        def _send(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._send(json.dumps({"data": cards}).encode())

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, str(self.headers["Authorization"]), body))
            cards[:] = [card for card in cards if card["id"] != body["lora_name"]]
            if "lora_path" in body:
                cards.append({"id": body["lora_name"], "root": body["lora_path"], "parent": cards[0]["id"]})
            self._send(b"Success")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def test_a_server_beside_is_brought_to_what_is_active(
    store: ObjectStore, ours: Settings, made: tuple[Path, Adapter, Adapter], tmp_path: Path
) -> None:
    base, first, _ = made
    activate_compared(store, push(store, first, ours), ours, by="tester", force="the first one")
    asked: list[tuple[str, str, Any]] = []
    with _vllm([{"id": "yuqing-base", "root": str(base)}], asked) as url:
        beside = _with(ours, tmp_path, adapter_mode="runtime", url=url, api_key=SecretStr(KEY))
        assert [apply(beside), apply(beside)] == ["loaded", "same"]
    # Tried under another name before it takes the name.
    trial, load, unload = f"{first.served_name}.trial", "/v1/load_lora_adapter", "/v1/unload_lora_adapter"
    told = [(path, body["lora_name"]) for path, _, body in asked]
    assert told == [(load, trial), (load, "yuqing"), (unload, trial)]
    assert {key for _, key, _ in asked} == {f"Bearer {KEY}"}
    assert {Path(body["lora_path"]).name for path, _, body in asked if path == load} == {first.served_name}
    assert apply(beside) == "away"
    with pytest.raises(YuqingError, match="not on this machine"):
        apply(_with(ours, tmp_path, url="http://llm.example:8001/v1"))

    # Merged weights: made ready first, then the server that `serve` became is asked to end, and no other.
    with _vllm([{"id": "yuqing", "root": str(base)}], asked) as url:
        merged = _with(ours, tmp_path, url=url, api_key=SecretStr(KEY))
        with pytest.raises(YuqingError, match="was not started by `yuqing llm serve`"):
            apply(merged)
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        note = _note(merged, port)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps({"pid": child.pid, "started": "1"}))
        assert running(merged, port) is None  # another process has the number now
        note.write_text(json.dumps({"pid": child.pid, "started": _start_of(child.pid)}))
        assert apply(merged) == "restarting"
        assert child.wait(10) == -signal.SIGTERM
    assert len(asked) == 3
    assert [path.name for path in (merged.cache / "models").glob("*+*") if path.is_dir()] == [
        f"tiny-{base_sha256(merged)[:8]}+{first.served_name}"
    ]


def test_the_commands_lead_from_a_folder_to_an_active_adapter_and_back(
    store: ObjectStore, made: tuple[Path, Adapter, Adapter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, first, second = made
    monkeypatch.setenv("YUQING_LLM__BASE", str(base))
    monkeypatch.setenv("YUQING_CACHE_DIR", str(tmp_path / "cache"))
    get_settings.cache_clear()

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(adapters_cli.app, list(arguments), catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout.strip().splitlines()[-1]

    names = [run("push", str(adapter.folder)) for adapter in (first, second)]
    run("activate", names[0], "--force", "the first one")
    human = [news.sentiment for news in inews.load("dev")]
    for file, labels in (("new", human), ("old", ["neutral"] * len(human))):
        lines = [{"id": place, "sentiment": label, "score": 0, "confidence": 1} for place, label in enumerate(labels)]
        (tmp_path / file).write_text("\n".join(json.dumps(line) for line in lines))
    paths = ("--answers", str(tmp_path / "new"), "--other-answers", str(tmp_path / "old"))
    noted = tmp_path / "new.about.json"
    noted.write_text(json.dumps({"served": {"adapter": names[0]}}))
    with pytest.raises(AdapterError, match=f"holds the answers of {names[0]}, not of {names[1]}"):
        run("compare", str(second.folder), names[0], *paths)
    noted.write_text(json.dumps({"served": {"adapter": names[1]}}))
    told = json.loads(run("compare", str(second.folder), names[0], *paths))
    assert (told["with"], told["accuracy"][0]) == ({"adapter": names[0], "sha256": first.digest}, 1.0)
    assert run("push", str(second.folder)) == names[1]
    assert run("activate", names[1]) == f"{names[1]} is active (change 2)"
    assert {each["name"]: each["active"] for each in json.loads(run("list", "--json"))} == {
        names[0]: False,
        names[1]: True,
    }
    assert run("list").startswith("* second")
    monkeypatch.setattr(ensemble, "fitted_for", lambda folder: {"adapter": names[1]})
    done = CliRunner().invoke(adapters_cli.app, ["rollback"])
    assert done.stdout.strip() == f"{names[0]} is active (change 3)"
    assert f"note: the ensemble's weights were fitted on the answers of {names[1]}" in done.stderr
    get_settings.cache_clear()


def test_the_command_line_is_built_of_the_settings(tmp_path: Path) -> None:
    default = vllm.command(tmp_path, "127.0.0.1", 1, LLMSettings(python=Path(sys.executable)), gpu=False)
    assert {"--enforce-eager", "--enable-prefix-caching"} <= set(default)
    assert not {"--enable-lora", "--tensor-parallel-size", "--quantization", "--gpu-memory-utilization"} & set(default)
    large = LLMSettings(
        python=Path(sys.executable), tensor_parallel=2, quantization="awq", prefix_caching=False, gpu_memory=0.8,
        max_lora_rank=64, adapter_mode="runtime", guided_backend="guidance", max_model_len=8192, server_options=("--seed", "1"),
    )  # fmt: skip
    line = vllm.command(tmp_path, "0.0.0.0", 8001, large, adapter=tmp_path / "mine-1", gpu=True)
    pairs = dict(itertools.pairwise(line))
    wanted_pairs = {
        "--tensor-parallel-size": "2", "--quantization": "awq", "--gpu-memory-utilization": "0.8", "--max-lora-rank": "64",
        "--max-model-len": "8192", "--served-model-name": "yuqing-base", "--host": "0.0.0.0", "--seed": "1",
    }  # fmt: skip
    assert wanted_pairs.items() <= pairs.items()
    assert "--no-enable-prefix-caching" in line
    assert "--enforce-eager" not in line
    assert json.loads(pairs["--structured-outputs-config"])["backend"] == "guidance"
    assert KEY not in " ".join(line)
    environment = vllm.environment(KEY, large)
    assert (environment["VLLM_API_KEY"], environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"]) == (KEY, "true")
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in vllm.environment(KEY, LLMSettings())


@pytest.mark.parametrize(
    ("url", "loopback"),
    [("http://127.0.0.1:1/v1", True), ("http://localhost/v1", True), ("http://[::1]:1/v1", True),
     ("http://10.0.0.1/v1", False), ("http://127.0.0.1.example.com/v1", False), ("nonsense", False)],
)  # fmt: skip
def test_only_this_machines_own_addresses_are_loopback(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def test_a_paired_test_knows_luck_from_difference() -> None:
    assert [mcnemar(0, 0), mcnemar(5, 5), round(mcnemar(10, 1), 4)] == [1.0, 1.0, 0.0117]
    human = ["positive", "neutral", "negative"] * 50
    same = compare(human, human[1:] + human[:1], human[1:] + human[:1])
    assert (same["mcnemar_p"], same["macro_f1_difference_interval"]) == (1.0, [0.0, 0.0])
    better = compare(human, human, ["neutral"] * 150)
    assert better["mcnemar_p"] < 0.001
    assert better["macro_f1_difference_interval"][0] > 0
