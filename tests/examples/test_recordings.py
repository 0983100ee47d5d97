"""The two recordings: small, playable, and about a watched company that their pages do not name."""

import av
import pytest

from examples.newsroom.recordings import FOLDER, RECORDINGS, Recording
from examples.newsroom.watchlist import read_watchlist


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.file)
def test_recording(recording: Recording) -> None:
    path = FOLDER / recording.file
    assert path.stat().st_size < 400_000
    with av.open(str(path)) as container:
        assert 20 <= (container.duration or 0) / av.time_base <= 35
        assert {stream.type for stream in container.streams} == (
            {"audio"} if recording.content_type.startswith("audio/") else {"audio", "video"}
        )
        samples = sum(frame.samples for frame in container.decode(audio=0))
    assert samples > 20 * 24_000
    spoken = [company.name for company in read_watchlist() if company.is_mentioned(recording.spoken_text())]
    assert spoken == [recording.company]
    page = "\n".join((recording.title, *recording.paragraphs))
    assert not any(company.is_mentioned(page) for company in read_watchlist())
    assert recording.file in (FOLDER / "NOTICE.txt").read_text(encoding="utf-8")
