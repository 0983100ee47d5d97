import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from transformers import AutoTokenizer

from llm.baichuan import ConversionError
from llm.baichuan.shape import Shape
from llm.baichuan.tokenizer import check_ids, convert_tokenizer
from tests.llm.baichuan.standin import WORDS, train_tokenizer

# Pieces of text that went wrong somewhere: white space of all kinds, what looks like pieces, bytes and turns of the chat,
# periodic texts (which of two equal joins comes first?), characters outside the vocabulary.
ODD = (
    " ", "  ", "   ", "▁", "▁▁", "\n", "\n\n", "\t", "\r\n", "\u3000", "\u200b", "\ufeff", "\x00", "\x7f", "�", "a", "b", "ab",
    "0", "12", "2026", "哈", "哈哈", "的", "，", "。", "中国", "é", "e\u0301", "ａ", "ﬁ", "😀", "👨‍👩‍👧", "𠮷", "\U0010ffff",
    "<0x41>", "<0xE4>", "<reserved_106>", "<reserved_107>", "<reserved_10", "<h1>", "</h1>", "<", "/", ">", "h1>", "<unk", "x>",
)  # fmt: skip


def shape_of(generation: int) -> Shape:
    name = "BaiChuanForCausalLM" if generation == 1 else "BaichuanForCausalLM"
    return Shape(architectures=[name], vocab_size=WORDS, max_position_embeddings=512)


def converted(model: Path, folder: Path, generation: int = 2, **told: Any) -> Path:
    """A folder with the converted tokenizer."""
    source, target = folder / "source", folder / "target"
    source.mkdir(parents=True)
    target.mkdir()
    (source / "tokenizer.model").write_bytes(model.read_bytes())
    (source / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": False} | told))
    convert_tokenizer(source, shape_of(generation), target)
    return target


@pytest.fixture(scope="module")
def pair(tokenizer_models: dict[int, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """SentencePiece and the converted tokenizer, as transformers loads it."""
    folder = converted(tokenizer_models[2], tmp_path_factory.mktemp("converted"))
    return SentencePieceProcessor(model_file=str(tokenizer_models[2])), AutoTokenizer.from_pretrained(folder)


def test_chinese_news_have_the_same_ids_and_come_back(pair: tuple[Any, Any], news: list[str]) -> None:
    reference, fast = pair
    texts = news[:2500]
    expected = reference.encode(texts)
    found = fast(texts)["input_ids"]
    assert sum(map(len, expected)) > 1_000_000
    assert [text for text, left, right in zip(texts, expected, found, strict=True) if left != right] == []
    assert fast.batch_decode(found[:300]) == texts[:300]


# A control symbol that the pieces add up to is itself: see the test of those.
@given(st.lists(st.sampled_from(ODD), max_size=12).map("".join).filter(lambda text: "<unk>" not in text))
def test_odd_texts_have_the_same_ids_and_come_back(pair: tuple[Any, Any], text: str) -> None:
    reference, fast = pair
    ids = reference.encode(text)
    assert fast(text)["input_ids"] == ids
    assert fast.decode(ids) == reference.decode(ids)


@given(st.text(max_size=40))
def test_any_text_has_the_same_ids(pair: tuple[Any, Any], text: str) -> None:
    reference, fast = pair
    assert fast(text)["input_ids"] == reference.encode(text)


def test_control_symbols_spelled_out_are_themselves_as_in_the_original(pair: tuple[Any, Any]) -> None:
    _, fast = pair
    for number, symbol in enumerate(("<unk>", "<s>", "</s>")):
        assert fast(f"好{symbol}")["input_ids"][-1] == number


def test_pieces_in_a_row_and_periodic_texts_have_the_same_ids(pair: tuple[Any, Any]) -> None:
    reference, fast = pair
    generator = random.Random(7)
    pieces = [reference.id_to_piece(number) for number in range(3, WORDS)]
    texts = []
    for _ in range(4000):
        text = "".join(generator.choices(pieces, k=generator.randint(1, 8)))
        start = generator.randrange(len(text))
        texts += [text, text[start : start + generator.randint(1, 4)] * generator.randint(2, 9)]
    assert [text for text in texts if reference.encode(text) != fast(text)["input_ids"]] == []


def test_a_model_that_begins_texts_with_a_space_keeps_doing_so(tmp_path: Path, news: list[str]) -> None:
    train_tokenizer(tmp_path / "model", news[:1000], generation=1, prefix=True)
    reference = SentencePieceProcessor(model_file=str(tmp_path / "model"))
    fast = AutoTokenizer.from_pretrained(converted(tmp_path / "model", tmp_path, 1))
    generator = random.Random(5)
    odd = ["a" + "".join(generator.choices(ODD, k=8)) for _ in range(500)]
    texts = [*news[1000:1200], *odd, "<reserved_102>问<reserved_103>", "\n首行", " 空格", ""]
    for text in texts:
        ids = reference.encode(text)
        assert fast(text)["input_ids"] == ids, text
        assert fast.decode(ids) == reference.decode(ids), text


@pytest.mark.parametrize(("generation", "user", "assistant"), [(1, 102, 103), (2, 106, 107)])
def test_turns_of_a_chat_become_the_published_ids(
    tokenizer_models: dict[int, Path], tmp_path: Path, generation: int, user: int, assistant: int
) -> None:
    fast = AutoTokenizer.from_pretrained(converted(tokenizer_models[generation], tmp_path, generation))
    reference = SentencePieceProcessor(model_file=str(tokenizer_models[generation]))
    chat = [
        {"role": "system", "content": "你是分析师。"},
        {"role": "user", "content": "利好吗？\n"},
        {"role": "assistant", "content": "利好。"},
        {"role": "user", "content": " 为什么"},
    ]
    system, first, answer, second = (reference.encode(turn["content"]) for turn in chat)
    expected = [*system, 195, *first, 196, *answer, 195, *second]
    assert fast.convert_ids_to_tokens([195, 196]) == [f"<reserved_{user}>", f"<reserved_{assistant}>"]
    assert fast.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] == [*expected, 196]
    assert fast.apply_chat_template(chat)["input_ids"] == expected
    assert fast.apply_chat_template(chat[:3], add_generation_prompt=True)["input_ids"] == [
        *system,
        195,
        *first,
        196,
        *answer,
    ]
    assert fast.decode([*expected, 196, *answer, 2], skip_special_tokens=True).endswith("为什么利好。")
    with pytest.raises(Exception, match="roles are user and assistant"):
        fast.apply_chat_template([chat[1], chat[0]])
    assert (fast.bos_token_id, fast.eos_token_id, fast.pad_token_id, fast.unk_token_id) == (1, 2, 0, 0)


def test_the_configuration_decides_whether_texts_begin_with_bos(
    tokenizer_models: dict[int, Path], tmp_path: Path
) -> None:
    fast = AutoTokenizer.from_pretrained(converted(tokenizer_models[2], tmp_path, add_bos_token=True))
    assert fast("你好")["input_ids"][0] == 1
    assert fast("你好", add_special_tokens=False)["input_ids"][0] != 1


OTHERS = {
    "pieces, config.json says": {"vocab_size": 5500},
    "is not byte-pair encoding": {"model_type": "unigram"},
    "normalises the text": {"normalization_rule_name": "nmt_nfkc"},
    "cannot write every character as bytes": {"byte_fallback": False},
    "writes spaces at the ends of words": {"treat_whitespace_as_suffix": True},
    "Baichuan2's are": {"user_defined_symbols": ["<|im_start|>"]},
}


@pytest.mark.parametrize("reason", OTHERS)
def test_the_tokenizer_of_another_model_is_refused(tmp_path: Path, news: list[str], reason: str) -> None:
    train_tokenizer(tmp_path / "model", news[:800], **OTHERS[reason])
    with pytest.raises(ConversionError, match=reason) as caught:
        converted(tmp_path / "model", tmp_path)
    assert "another model" in caught.value.cure


def test_a_broken_tokenizer_is_refused(tokenizer_models: dict[int, Path], tmp_path: Path) -> None:
    (tmp_path / "cut").write_bytes(tokenizer_models[2].read_bytes()[:50_001])
    with pytest.raises(ConversionError, match=r"no SentencePiece model|pieces, config.json says"):
        converted(tmp_path / "cut", tmp_path)


def test_a_tokenizer_that_gives_other_ids_is_found_out(tokenizer_models: dict[int, Path], tmp_path: Path) -> None:
    fast = AutoTokenizer.from_pretrained(converted(tokenizer_models[1], tmp_path, 1))
    with pytest.raises(ConversionError, match="other ids"):
        check_ids(tokenizer_models[2], fast.backend_tokenizer)
