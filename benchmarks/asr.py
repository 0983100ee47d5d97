"""Speech recognition on the newsroom's two recordings: speed, errors and memory, as one line of JSON.

    python benchmarks/asr.py [--repeat N]

`rtf`: seconds of computing a second of audio with the default settings (beam 5). `rtf_beam_1`: the same with beam 1. `ratio`: how
much faster beam 1 is. `cer`, `cer_beam_1`: character error rates against the recordings' texts, over characters alone, simplified.
`peak_mib`: the process's highest resident memory. The model is loaded before the clock starts; the best of N runs counts.
"""

import argparse
import json
import re
import resource
import sys
import time
from pathlib import Path

# A script's own folder comes first on the path, and there `asr` would be this file.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from asr.transcriber import Transcriber  # noqa: E402
from examples.newsroom.recordings import FOLDER, RECORDINGS  # noqa: E402
from yuqing.settings import load_settings  # noqa: E402
from yuqing.text.normalise import to_simplified  # noqa: E402


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", to_simplified(text))


def _distance(reference: str, heard: str) -> int:
    row = list(range(len(heard) + 1))
    for number, character in enumerate(reference, 1):
        before, row[0] = row[0], number
        for column, other in enumerate(heard, 1):
            before, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, before + (character != other))
    return row[-1]


def measure(beam_size: int, repeat: int) -> tuple[float, float]:
    """Real-time factor and character error rate over both recordings."""
    transcriber = Transcriber(load_settings(asr={"beam_size": beam_size}))
    transcriber.load()
    best, errors, characters, audio = float("inf"), 0, 0, 0.0
    for _ in range(repeat):
        errors = characters = 0
        audio = 0.0
        started = time.perf_counter()
        transcripts = [transcriber.transcribe(FOLDER / recording.file) for recording in RECORDINGS]
        best = min(best, time.perf_counter() - started)
        for recording, transcript in zip(RECORDINGS, transcripts, strict=True):
            reference = _plain(recording.spoken_text())
            errors += _distance(reference, _plain(transcript.text))
            characters += len(reference)
            audio += transcript.duration_s
    return best / audio, errors / characters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=2)
    repeat = parser.parse_args().repeat
    rtf, cer = measure(5, repeat)
    rtf_greedy, cer_greedy = measure(1, repeat)
    figures = {
        "rtf": round(rtf, 3),
        "rtf_beam_1": round(rtf_greedy, 3),
        "ratio": round(rtf / rtf_greedy, 2),
        "cer": round(cer, 3),
        "cer_beam_1": round(cer_greedy, 3),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
