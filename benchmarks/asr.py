"""Speech recognition on the committed speech set (examples/speech): errors, names, speed and memory, as one line of JSON.

    python benchmarks/asr.py [--quick] [--full] [--keep FILE] [--only PART,PART...]
    python benchmarks/asr.py --vary NAME=VALUE,VALUE...
    python benchmarks/asr.py --differences FILE

The test clips are joined to bulletins of seven with pauses, as programmes are, and recognised with the settings' model and options.

cer                 character error rate, clean, with the watchlist's names as the worker gives them (asr/normaliser.py)
cer_noise, cer_music, cer_telephone: the same of one bulletin under each condition
names_right         share of the company names that came out right, clean, with the names
rtf                 seconds of computing a second of sound; the model is loaded before
speed_ratio         openai-whisper's time, same weights and beam size, by ours, both without names, on the first two bulletins
cer_reference       openai-whisper's character error rate there;  cer_same: ours there;  names_right_without: of the names, ours
memory_ratio        our peak resident memory there by openai-whisper's; each engine hears each bulletin in a process of its own
silence_characters  characters written for 10 minutes of silence, pink noise, music and applause
memory_growth_mib   peak memory for 4 hours less that for 10 minutes, both with the same 3 minutes of speech in them

--quick leaves out the comparison and the 4 hours; --full compares on all bulletins. --only does some of `errors`, `silence`,
`comparison` and `memory`. --keep writes each part's figures into a file when it is done and takes from there what is done: a run
that was stopped, or whose parts were run one by one, goes on; in the comparison a part is one engine on one bulletin. --differences
shows of such a file where one of the two engines erred and the other did not.
--vary prints a table instead: the first bulletin, without names, for each value of a setting of recognition (batch_size,
beam_size, threads, compute_type, window_s...), all others as the settings say:

    YUQING_ASR__BEAM_SIZE=1 python benchmarks/asr.py --vary batch_size=1,4,8

`workers` is the number of processes side by side that share the cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# A script's own folder comes first on the path, and there `asr` would be this file.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np  # noqa: E402
import yaml  # noqa: E402

from asr.audio import SAMPLE_RATE  # noqa: E402
from asr.conditions import Samples, applause, apply_condition, music, pink_noise, silence  # noqa: E402
from asr.evaluate import Heard, compare, samples_of, table, written  # noqa: E402
from asr.manifests import Utterance, read_manifest  # noqa: E402
from asr.transcriber import Transcriber  # noqa: E402
from examples.speech import NAMES, TEST  # noqa: E402
from yuqing.settings import Settings, load_settings  # noqa: E402

CLIPS_A_BULLETIN = 7
PAUSE_S = 0.8  # between two items of a programme
COMPARED = 2  # bulletins that the reference is run on unless all are asked for: each takes it four minutes
CONTEXT = 4  # characters shown on each side of a difference
SILENT_S = 150.0  # of each of the four sounds without speech
SHORT_S, LONG_S, SPOKEN_S = 600, 4 * 3600, 180


def bulletins(count: int | None = None) -> list[tuple[Utterance, Samples]]:
    """The test clips, seven to a recording; the first `count` recordings."""
    clips = read_manifest(TEST)[: None if count is None else count * CLIPS_A_BULLETIN]
    pause = silence(PAUSE_S)
    found = []
    for begin in range(0, len(clips), CLIPS_A_BULLETIN):
        chosen = clips[begin : begin + CLIPS_A_BULLETIN]
        sound = np.concatenate([part for clip in chosen for part in (samples_of(clip), pause)])
        text = "\n".join(clip.text for clip in chosen)
        names = tuple(sorted({name for clip in chosen for name in clip.names}))
        found.append((Utterance(f"bulletin {begin // CLIPS_A_BULLETIN + 1}", TEST, text, names=names), sound))
    return found


def listen(
    transcriber: Transcriber, chosen: list[tuple[Utterance, Samples]], condition: str = "clean", names: bool = True
) -> tuple[list[Heard], float]:
    """Let the bulletins be transcribed under a condition; also the peak memory until then, in MiB."""
    transcriber.load()
    texts = []
    for number, (_, clean) in enumerate(chosen):
        with written(apply_condition(condition, clean, number)) as path:
            began = time.perf_counter()
            transcript = transcriber.transcribe(path, names=NAMES if names else ())
            texts.append((transcript.text, time.perf_counter() - began))
    peak = peak_mib()  # before the words are counted, whose dictionary takes a hundred MiB
    heard = [
        compare(bulletin, text, condition, len(samples) / SAMPLE_RATE, took)
        for (bulletin, samples), (text, took) in zip(chosen, texts, strict=True)
    ]
    return heard, peak


def figures(heard: list[Heard]) -> dict[str, Any]:
    return table(heard)[-1].as_json()


def peak_mib() -> float:
    """The process's highest resident memory since it was started; rusage would count its parent's, too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def part_errors(settings: Settings) -> dict[str, Any]:
    """All bulletins clean, one of them under each condition; with names."""
    transcriber, all_of_them = Transcriber(settings), bulletins()
    heard, peak = listen(transcriber, all_of_them)
    named = figures(heard)
    found = {
        "audio_s": named["audio_s"],
        "cer": named["cer"],
        "wer": named["wer"],
        "names_said": named["names_said"],
        "names_right": named["names_right"],
        "rtf": named["rtf"],
        "peak_mib": round(peak),
    }
    for number, condition in enumerate(("noise", "music", "telephone")):
        found[f"cer_{condition}"] = figures(listen(transcriber, [all_of_them[number]], condition)[0])["cer"]
    return found


def part_engine(settings: Settings, number: int) -> dict[str, Any]:
    """Time, errors, memory and normalised texts of one engine on one bulletin, without names."""
    heard, peak = listen(Transcriber(settings), bulletins(number + 1)[number:], names=False)
    texts = {"said": heard[0].reference, "heard": heard[0].heard}
    return {"seconds": heard[0].computing_s, "peak_mib": round(peak), **figures(heard), **texts}


def part_silence(settings: Settings) -> dict[str, Any]:
    """Characters written where nobody speaks."""
    rng, transcriber = np.random.default_rng(1), Transcriber(settings)
    sounds = [silence(SILENT_S), *(sound(SILENT_S, rng) for sound in (pink_noise, music, applause))]
    characters = 0
    for samples in sounds:
        with written(samples) as path:
            characters += len(transcriber.transcribe(path, names=NAMES).text)
    return {"silence_characters": characters}


def sound_of(seconds: int) -> Iterator[Samples]:
    """Some minutes of speech, then noise, in pieces of a minute."""
    speech = np.concatenate([sound for _, sound in bulletins(2)])[: SPOKEN_S * SAMPLE_RATE]
    noise = pink_noise(60, np.random.default_rng(1)) / 4
    yield speech
    for _ in range((seconds - SPOKEN_S) // 60):
        yield noise


def part_memory(settings: Settings, seconds: int) -> dict[str, Any]:
    """Peak memory for a recording that lasts so long."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
            for piece in sound_of(seconds):
                file.writeframes((piece * 32767).astype("<i2").tobytes())
        transcript = Transcriber(settings).transcribe(path)
    return {"peak_mib": round(peak_mib()), "duration_s": transcript.duration_s}


def run_part(name: str, kept: Path | None = None, **options: Any) -> dict[str, Any]:
    """Run a part in a process of its own and read its JSON; unless `kept` has it, into which it is written."""
    done: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept and kept.exists() else {}
    key = f"{name} {json.dumps(options, sort_keys=True)}"
    if key not in done:
        arguments = [sys.executable, __file__, "--part", name, "--options", json.dumps(options)]
        finished = subprocess.run(arguments, stdout=subprocess.PIPE, check=True)
        done[key] = json.loads(finished.stdout.splitlines()[-1])
        if kept:
            kept.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    found: dict[str, Any] = done[key]
    shown = {key: value for key, value in found.items() if key not in ("said", "heard")}
    print(f"{name} {options}: {shown}", file=sys.stderr)
    return found


def vary(name: str, values: list[Any]) -> None:
    """Print a line of a table for each value of a setting."""
    print(f"| {name} | seconds of computing a second of sound | CER | peak MiB |\n|---|---|---|---|")
    for value in values:
        workers, changed = (value, {}) if name == "workers" else (1, {name: value})
        if workers > 1:
            changed["threads"] = max(1, len(os.sched_getaffinity(0)) // workers)
        with ThreadPoolExecutor(workers) as side_by_side:
            found = list(side_by_side.map(lambda _: run_part("engine", number=0, asr=changed), range(workers)))  # noqa: B023
        speed = max(one["seconds"] for one in found) / sum(one["audio_s"] for one in found)
        print(
            f"| {value} | {speed:.3f} | {found[0]['cer']:.3f} | {sum(one['peak_mib'] for one in found)} |", flush=True
        )


REFERENCE = {"engine": "openai-whisper", "parallel_parts": 1}


def compared(count: int | None, kept: Path | None) -> dict[str, Any]:
    """Our engine and the reference on the first bulletins, in turns."""
    numbers = range(len(bulletins(count)))
    turns = [(run_part("engine", kept, number=n), run_part("engine", kept, number=n, asr=REFERENCE)) for n in numbers]
    ours, theirs = zip(*turns, strict=True)
    return {
        "compared_s": round(total(ours, "audio_s"), 1),
        "speed_ratio": round(total(theirs, "seconds") / total(ours, "seconds"), 2),
        "cer_same": error_rate(ours),
        "cer_reference": error_rate(theirs),
        "names_right_without": round(
            sum(one["names_said"] * one["names_right"] for one in ours) / total(ours, "names_said"), 4
        ),
        "memory_ratio": round(max(one["peak_mib"] for one in ours) / max(one["peak_mib"] for one in theirs), 3),
    }


def total(parts: Sequence[dict[str, Any]], key: str) -> float:
    return float(sum(part[key] for part in parts))


def error_rate(parts: Sequence[dict[str, Any]]) -> float:
    """Of all bulletins' characters together."""
    counts = [part["characters"] for part in parts]
    wrong = sum(count[kind] for count in counts for kind in ("substitutions", "deletions", "insertions"))
    return round(wrong / sum(count["reference"] for count in counts), 4)


def differences(kept: Path) -> Iterator[str]:
    """For each bulletin that both engines heard, what one of them got wrong and the other not, or otherwise."""
    from rapidfuzz.distance import Levenshtein

    done = json.loads(kept.read_text(encoding="utf-8"))
    for key, ours in done.items():
        name, _, options = key.partition(" ")
        reference = json.dumps({"asr": REFERENCE} | json.loads(options), sort_keys=True)
        theirs = done.get(f"{name} {reference}")
        if name != "engine" or "asr" in json.loads(options) or theirs is None:
            continue
        said = ours["said"]
        wrong = [
            {
                (edit.src_start, edit.src_end, one["heard"][edit.dest_start : edit.dest_end])
                for edit in Levenshtein.opcodes(said, one["heard"])
                if edit.tag != "equal"
            }
            for one in (ours, theirs)
        ]
        yield f"{options}: error rate {error_rate([ours])}, openai-whisper's {error_rate([theirs])}, of {len(said)} characters"
        for begin, end, instead in sorted(wrong[0] ^ wrong[1]):
            who = "ours  " if (begin, end, instead) in wrong[0] else "theirs"
            yield f"  {who} {said[max(0, begin - CONTEXT) : begin]}[{said[begin:end]}→{instead}]{said[end : end + CONTEXT]}"


def grown(kept: Path | None) -> dict[str, Any]:
    """What 4 hours take beyond 10 minutes."""
    long, short = (run_part("memory", kept, seconds=seconds) for seconds in (LONG_S, SHORT_S))
    return {"memory_growth_mib": round(long["peak_mib"] - short["peak_mib"])}


PARTS = {"errors": part_errors, "engine": part_engine, "silence": part_silence, "memory": part_memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--keep", type=Path, metavar="FILE")
    parser.add_argument("--only", metavar="PART,PART...")
    parser.add_argument("--vary", metavar="NAME=VALUE,VALUE...")
    parser.add_argument("--differences", type=Path, metavar="FILE")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--options", type=json.loads, default={}, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.part:
        options = chosen.options
        settings = load_settings(asr=options.pop("asr", {}))
        print(json.dumps(PARTS[chosen.part](settings, **options)))
        return
    if chosen.vary:
        name, _, values = chosen.vary.partition("=")
        vary(name, [yaml.safe_load(value) for value in values.split(",")])
        return
    if chosen.differences:
        print("\n".join(differences(chosen.differences)))
        return
    count, kept = None if chosen.full else COMPARED, chosen.keep
    figures_of: dict[str, Callable[[], dict[str, Any]]] = {
        "errors": lambda: run_part("errors", kept),
        "silence": lambda: run_part("silence", kept),
        "comparison": lambda: compared(count, kept),
        "memory": lambda: grown(kept),
    }
    names = chosen.only.split(",") if chosen.only else list(figures_of)[: 2 if chosen.quick else None]
    if unknown := set(names) - figures_of.keys():
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(figures_of)}")
    found: dict[str, Any] = {}
    for name in names:
        found |= figures_of[name]()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
