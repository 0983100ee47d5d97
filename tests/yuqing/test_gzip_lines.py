"""Objects on S3 that are no longer what was written."""

import gzip
import random

import pytest

from yuqing.gzip_lines import DamagedObject, gzip_lines

LINES = [b'{"a": "%d"}' % random.Random(number).getrandbits(900) for number in range(50)]
WHOLE = gzip.compress(b"".join(line + b"\n" for line in LINES), mtime=0)


def test_lines() -> None:
    assert gzip_lines(WHOLE) == LINES
    assert gzip_lines(gzip.compress(b"")) == []


def test_every_kind_of_damage_has_one_error() -> None:
    flipped = [WHOLE[:at] + bytes([WHOLE[at] ^ 0xFF]) + WHOLE[at + 1 :] for at in range(10, len(WHOLE), 97)]
    for damaged in (b"no gzip", WHOLE[:-9], WHOLE[:40], WHOLE[:5], WHOLE[:-8] + bytes(8), *flipped):
        with pytest.raises(DamagedObject):
            gzip_lines(damaged)
