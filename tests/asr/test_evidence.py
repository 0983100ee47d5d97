"""What is said at a second is quoted with that second, through the raw document, cleaning and analysis."""

import gzip

from asr.documents import batch_bytes, raw_document, sentences_of
from cleaning.article import clean
from llm.analysis.evidence import locate
from tests.asr.test_documents import PAGE, RECORDING
from yuqing.contracts import Segment, Transcript, Word, read_raw_document
from yuqing.settings import load_settings
from yuqing.text.sentences import sentence_spans

SAID = [
    (3.0, "各位听众早上好，欢迎收听公司新闻。"),
    (8.0, "青禾乳业昨天召回了一批鲜牛奶。"),
    (13.5, "有家长表示不满！"),
    (17.0, "公司联系电话是13812345678，请留意。"),
    (24.5, "以上就是今天的全部内容。"),
]


def spoken(*parts: tuple[float, str]) -> Segment:
    """Four characters a second."""
    words = [
        Word(start=start + index / 4, end=start + (index + 1) / 4, text=character, probability=0.9)
        for start, text in parts
        for index, character in enumerate(text)
    ]
    return Segment(start=words[0].start, end=words[-1].end, text="".join(text for _, text in parts), words=tuple(words))


def test_evidence_leads_to_the_second_at_which_it_was_said() -> None:
    segments = (spoken(SAID[0]), spoken(*SAID[1:3]), spoken(*SAID[3:]))
    transcript = Transcript(
        media_sha256="a" * 64,
        model="whisper-base",
        options_hash="b" * 32,
        language="zh",
        duration_s=30,
        text="\n".join(segment.text for segment in segments),
        segments=segments,
    )
    document = read_raw_document(gzip.decompress(batch_bytes(raw_document(PAGE, RECORDING, transcript))))
    article = clean(document, "raw/daily/2026/11/21/A.jsonl.gz", load_settings().cleaning)
    sentences = sentence_spans(article.text)
    assert len(sentences) == len(SAID)
    quotes, grounded = locate(range(1, len(SAID) + 1), sentences, article.text, article.segments)
    assert grounded
    assert [quote.start_s for quote in quotes] == [start for start, _ in SAID]
    assert quotes[1].quote == SAID[1][1]
    assert "13812345678" not in article.text, "masking keeps the places"


def test_a_segment_whose_words_do_not_tell_stays_whole() -> None:
    segment = spoken((0, "收入增长百分之三。"), (4, "利润下降。"))
    assert [part.start for part in sentences_of(segment)] == [0, 4]
    assert all(part.words == () for part in sentences_of(segment))
    (whole,) = sentences_of(segment.model_copy(update={"text": "收入增长3%。利润下降。"}))
    assert (whole.start, whole.end, whole.words) == (segment.start, segment.end, ())
    (single,) = sentences_of(spoken((2, "收入增长")))
    assert single.text == "收入增长"
