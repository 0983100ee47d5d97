"""Memory and time of `yuqing llm convert-baichuan` on a checkpoint of Baichuan2-7B's true width with random numbers.

    python benchmarks/convert_baichuan.py [--layers N] [--folder WHERE]

Prints one JSON line: {"layers", "checkpoint_gb", "seconds", "peak_gb", "mapped_gb", "check_seconds"}. `peak_gb` is memory
of the process's own; `mapped_gb` are parts of the checkpoint's file that the system keeps while there is room. The memory
does not depend on the number of layers (32 in the real model, 15 GB; 4 by default, 3.7 GB): files are written one by one.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

WORDS = 125_696


def write_tokenizer(path: Path) -> None:
    """As many pieces as Baichuan2 has, made up: joined from characters, the turns' tokens in their places."""
    from transformers.convert_slow_tokenizer import import_protobuf

    model = import_protobuf().ModelProto()
    model.trainer_spec.model_type, model.trainer_spec.byte_fallback = 2, True
    model.normalizer_spec.name, model.normalizer_spec.add_dummy_prefix = "identity", False
    model.normalizer_spec.remove_extra_whitespaces = False
    symbols = [f"<filler_{number}>" for number in range(86)] + [f"<reserved_{number}>" for number in range(300)]
    pieces = [("<unk>", 2), ("<s>", 3), ("</s>", 3), *((symbol, 4) for symbol in symbols)]
    pieces += [(f"<0x{byte:02X}>", 6) for byte in range(256)]
    chance = random.Random(1)
    letters = [chr(number) for number in range(0x4E00, 0x4E00 + 6000)]
    joined: dict[str, None] = {}
    while len(joined) < WORDS - len(pieces) - len(letters):
        joined["".join(chance.choices(letters[:800], k=chance.choice((2, 2, 2, 3))))] = None
    for number, (piece, kind) in enumerate((*pieces, *((text, 1) for text in (*joined, *letters)))):
        model.pieces.add(piece=piece, type=kind, score=-number if kind == 1 else 0)
    path.write_bytes(model.SerializeToString())


def write_checkpoint(folder: Path, layers: int) -> int:
    """One pytorch_model.bin as published; returns its bytes."""
    import torch

    from llm.baichuan.shape import Shape, tensor_shapes

    config = {"architectures": ["BaichuanForCausalLM"], "vocab_size": WORDS, "num_hidden_layers": layers}
    shape = Shape.model_validate(config)
    torch.manual_seed(1)
    tensors: dict[str, Any] = {
        name: torch.empty(extents, dtype=torch.bfloat16).uniform_(-0.02, 0.02)
        for name, extents in tensor_shapes(shape).items()
    }
    torch.save(tensors, folder / "pytorch_model.bin")
    told = config | {"model_type": "baichuan", "max_position_embeddings": 4096, "hidden_size": 4096}
    (folder / "config.json").write_text(json.dumps(told))
    (folder / "tokenizer_config.json").write_text('{"add_bos_token": false}')
    write_tokenizer(folder / "tokenizer.model")
    return (folder / "pytorch_model.bin").stat().st_size


def watch(command: list[str]) -> tuple[float, int, int]:
    """Seconds of the command, and the peaks of its own and of its mapped memory in KiB."""
    started, peaks = time.monotonic(), [0, 0]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while child.poll() is None:
        try:
            status = Path(f"/proc/{child.pid}/status").read_text()
        except OSError:
            break
        for place, name in enumerate(("RssAnon", "RssFile")):
            found = re.search(rf"{name}:\s+(\d+)", status)
            peaks[place] = max(peaks[place], int(found[1]) if found else 0)
        time.sleep(0.01)
    if child.wait():
        raise SystemExit(f"{command} failed")
    return time.monotonic() - started, peaks[0], peaks[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument(
        "--folder", type=Path, help="where there is room for the checkpoint twice; default: the system's"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        source, target = Path(name, "source"), Path(name, "target")
        source.mkdir()
        size = write_checkpoint(source, arguments.layers)
        command = [sys.executable, "-m", "yuqing", "llm", "convert-baichuan", str(source), str(target)]
        seconds, own, mapped = watch(command)
        check_seconds, _, _ = watch(command)
    figures = {
        "layers": arguments.layers,
        "checkpoint_gb": round(size / 1e9, 2),
        "seconds": round(seconds, 1),
        "peak_gb": round(own * 1024 / 1e9, 2),
        "mapped_gb": round(mapped * 1024 / 1e9, 2),
        "check_seconds": round(check_seconds, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
