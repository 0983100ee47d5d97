"""Synthetic Mandarin news with its text: what speech recognition is measured and taught with (see NOTICE.txt)."""

from pathlib import Path

FOLDER = Path(__file__).parent
# Manifests (asr/manifests.py). The three share their voices, and no sentence.
TEST, TRAIN, DEV = (FOLDER / f"{part}.jsonl" for part in ("test", "train", "dev"))
# The watchlist: the companies that the test clips name, well-known ones and invented ones.
NAMES = tuple((FOLDER / "names.txt").read_text(encoding="utf-8").split())
