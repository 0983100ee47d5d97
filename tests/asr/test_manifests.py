"""Lists of recordings: our own form, others' layouts, and what is wrong with them."""

import json
from pathlib import Path

import pytest

from asr.manifests import RECORDED, ManifestError, Utterance, read_manifest


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_json_lines(tmp_path: Path) -> None:
    touch(tmp_path / "clips/a.opus")
    lines = [
        {"audio": "clips/a.opus", "text": "今天"},
        {
            "audio": "clips/a.opus",
            "text": "华为说",
            "id": "x",
            "condition": "noise",
            "names": ["华为"],
            "speaker": "甲",
        },
        {"audio": "clips/a.opus", "text": "明天", "start": 1.5, "end": 2.5},
    ]
    text = "\ufeff" + "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    found = read_manifest(touch(tmp_path / "m.jsonl", text))
    audio = tmp_path / "clips/a.opus"
    assert found == [
        Utterance("a", audio, "今天"),
        Utterance("x", audio, "华为说", "noise", names=("华为",)),
        Utterance("a:1.5", audio, "明天", RECORDED, 1.5, 2.5),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2: .*JSON"),
        ("[]", "line 2: "),
        ('{"audio": "a.wav"}', "line 2: text: "),
        ('{"audio": "", "text": ""}', "line 2: audio: "),
        ('{"audio": "a.wav", "text": 5}', "line 2: text: "),
        ('{"audio": "a.wav", "text": "", "start": -1}', "line 2: start: "),
        ('{"audio": "a.wav", "text": "", "start": 2, "end": 2}', r"line 2: it ends \(2.0 s\) before"),
        ('{"audio": "a.wav", "text": "", "names": "华为"}', "line 2: names: "),
        ('{"audio": "b.wav", "text": ""}', r"line 2: there is no recording .*b\.wav"),
    ],
)
def test_broken_lines_are_named(tmp_path: Path, line: str, reason: str) -> None:
    touch(tmp_path / "a.wav")
    path = touch(tmp_path / "m.jsonl", f'{{"audio": "a.wav", "text": "今天"}}\n{line}\n')
    with pytest.raises(ManifestError, match=reason):
        read_manifest(path)


def test_nothing_to_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_manifest(tmp_path / "m.jsonl")
    with pytest.raises(ManifestError, match="names no recordings"):
        read_manifest(touch(tmp_path / "m.jsonl", "\n"))
    with pytest.raises(ManifestError, match="names no recordings"):
        read_manifest(tmp_path)
    (tmp_path / "m.jsonl").write_bytes("今天".encode("gb18030"))
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_manifest(tmp_path / "m.jsonl")


def test_aishell(tmp_path: Path) -> None:
    texts = "BAC009S0002W0122 而 对 楼市\nBAC009S0764W0121 甚至 出现\nBAC009S0002W0999 没有 声音\n"
    touch(tmp_path / "transcript/aishell_transcript_v0.8.txt", texts)
    train = touch(tmp_path / "wav/train/S0002/BAC009S0002W0122.wav")
    test = touch(tmp_path / "wav/test/S0764/BAC009S0764W0121.wav")
    touch(tmp_path / "wav/test/S0764/BAC009S0764W0500.wav")  # has no text
    assert read_manifest(tmp_path, "train") == [Utterance("BAC009S0002W0122", train, "而对楼市")]
    assert read_manifest(tmp_path, "test") == [Utterance("BAC009S0764W0121", test, "甚至出现")]
    assert len(read_manifest(tmp_path)) == 2
    with pytest.raises(ManifestError, match="of the part dev"):
        read_manifest(tmp_path, "dev")
    touch(tmp_path / "transcript/aishell_transcript_v0.8.txt", texts + "BAC009S0764W0500\n")
    with pytest.raises(ManifestError, match="line 4: no text behind BAC009S0764W0500"):
        read_manifest(tmp_path)


def test_wenetspeech(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asr.manifests._CHUNK", 7)  # the list is read in pieces
    sound = touch(tmp_path / "audio/dev/youtube/B00000/Y1.opus")
    segments = [
        {"sid": "Y1_S0", "begin_time": 1.2, "end_time": 4, "subsets": ["DEV"], "text": "第一句"},
        {"sid": "Y1_S1", "begin_time": 5.0, "end_time": 6.5, "subsets": ["L", "S"], "text": "第二句"},
    ]
    audio = {"aid": "Y1", "path": "audio/dev/youtube/B00000/Y1.opus", "source": "youtube", "segments": segments}
    content = {"version": "v1.0", "audios": [audio, {**audio, "aid": "Y2", "source": None, "segments": segments[:1]}]}
    path = touch(tmp_path / "WenetSpeech.json", json.dumps(content, ensure_ascii=False, indent=1))
    assert read_manifest(tmp_path, "S") == [Utterance("Y1_S1", sound, "第二句", "youtube", 5.0, 6.5)]
    assert [item.condition for item in read_manifest(path, "DEV")] == ["youtube", RECORDED]
    path.write_text(json.dumps(content)[:-20])
    with pytest.raises(ManifestError, match="breaks off"):
        read_manifest(path)
    path.write_text(json.dumps({"audios": [{"aid": "Y3", "path": "x.opus"}]}))
    with pytest.raises(ManifestError, match="audio Y3: no 'segments'"):
        read_manifest(path)
    path.write_text("{}")
    with pytest.raises(ManifestError, match="no list of audios"):
        read_manifest(path)


def test_common_voice(tmp_path: Path) -> None:
    sound = touch(tmp_path / "clips/common_voice_zh-CN_1.mp3")
    heading = "client_id\tpath\tsentence\tup_votes\n"
    rows = 'a\tcommon_voice_zh-CN_1.mp3\t他说"你好\t2\n'
    path = touch(tmp_path / "test.tsv", heading + rows)
    assert read_manifest(path) == [Utterance("common_voice_zh-CN_1", sound, '他说"你好')]
    path.write_text(heading + rows + "b\tcommon_voice_zh-CN_1.mp3\n")
    with pytest.raises(ManifestError, match="line 3: 2 cells under 4 headings"):
        read_manifest(path)
    path.write_text(heading + rows + "b\tcommon_voice_zh-CN_2.mp3\t好\t0\n")
    with pytest.raises(ManifestError, match="line 3: there is no recording"):
        read_manifest(path)
    path.write_text("a\tb\n")
    with pytest.raises(ManifestError, match="line 1: no columns"):
        read_manifest(path)


def test_a_folder_of_sounds_with_texts(tmp_path: Path) -> None:
    one, two = touch(tmp_path / "a.WAV"), touch(tmp_path / "b/c.mp3")
    touch(tmp_path / "a.txt", "今天\n")
    touch(tmp_path / "b/c.txt", "\ufeff明天")
    touch(tmp_path / "d.mp3")
    assert read_manifest(tmp_path) == [Utterance("a.WAV", one, "今天"), Utterance("b/c.mp3", two, "明天")]
    (tmp_path / "a.txt").write_bytes("今天".encode("gb18030"))
    with pytest.raises(ManifestError, match=r"a\.txt is not UTF-8"):
        read_manifest(tmp_path)
