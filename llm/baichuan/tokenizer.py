"""Baichuan's SentencePiece model as a fast tokenizer (tokenizer.json) that gives the same ids, and its chat template.

SentencePiece joins, of all neighbours, those whose union scores best; `tokenizers` joins by the rank of a pair. The pairs
that make a piece get their ranks in the order of the pieces' scores, which comes to the same. User-defined symbols are
looked for in the text after spaces became "▁", as SentencePiece does, so that runs of spaces among them are found.
"""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from llm.baichuan import ConversionError
from llm.baichuan.shape import Shape, read_json

MODEL = "tokenizer.model"
_SPACE = "▁"
# Kinds of pieces and of models in sentencepiece_model.proto.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE = 1, 2, 3, 4, 6
_BPE = 2
# Where the published generation_config.json puts the tokens that open a turn, and Baichuan2's names for them.
_CHAT_IDS = {"user_token_id": 195, "assistant_token_id": 196}
_CHAT_NAMES = ("<reserved_106>", "<reserved_107>")
_RESERVED = re.compile(r"<reserved_\d+>")
_ANOTHERS = "the folder holds the tokenizer of another model; take tokenizer.model from the checkpoint's publisher"

# What SentencePiece itself is asked, where it is installed: news, figures, white space, rare and broken characters.
SAMPLES = (
    "2026年1月8日，格力电器(000651.SZ)公布业绩预告：净利润同比下降12.5%，“符合预期”。",
    "滴滴、美团……  两个空格\n\n\t制表符 \r\n结尾的空格   ",
    " 开头的空格 mixed English words, def f(x):\n        return x ** 2",
    "𠮷野家 😀👨‍👩‍👧 Ａ１ ﬁ é é \u200b\ufeff\x00\x7f�",
    "哈哈哈哈哈哈哈哈哈 aaaaaaaaaaaaaaaaaaaaa ————————————  　　全角空格",
    "<0xE4><reserved_106>问题<reserved_107>回答<reserved_1 ▁▁字面的下划线",
    "",
)


def _read(path: Path) -> Any:
    from transformers.convert_slow_tokenizer import import_protobuf

    model = import_protobuf().ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except FileNotFoundError:
        raise ConversionError(f"{path} is missing", cure="download the checkpoint again, whole") from None
    except Exception as error:  # noqa: BLE001 - protobuf's DecodeError, whose module depends on the implementation
        raise ConversionError(f"{path} is no SentencePiece model: {error}", cure="download the file again") from None
    return model


def _check(model: Any, shape: Shape, path: Path) -> None:
    trainer, normaliser = model.trainer_spec, model.normalizer_spec
    if len(model.pieces) != shape.vocab_size:
        raise ConversionError(
            f"{path} has {len(model.pieces)} pieces, config.json says {shape.vocab_size} words", cure=_ANOTHERS
        )
    wrong = {
        "is not byte-pair encoding": trainer.model_type != _BPE,
        "normalises the text": bool(normaliser.precompiled_charsmap) or normaliser.remove_extra_whitespaces,
        "does not escape spaces": not normaliser.escape_whitespaces,
        "writes spaces at the ends of words": trainer.treat_whitespace_as_suffix,
        "cannot write every character as bytes": sum(piece.type == _BYTE for piece in model.pieces) != 256,
        "has pieces of unknown kinds": any(
            piece.type not in (_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _BYTE) for piece in model.pieces
        ),
        "repeats pieces": len({piece.piece for piece in model.pieces}) != len(model.pieces),
    }
    reasons = [reason for reason, found in wrong.items() if found]
    if reasons:
        raise ConversionError(f"{path} {', '.join(reasons)}, which Baichuan's does not", cure=_ANOTHERS)
    for name, number in (("bos", shape.bos_token_id), ("eos", shape.eos_token_id)):
        if not (0 <= number < len(model.pieces) and model.pieces[number].type == _CONTROL):
            raise ConversionError(
                f"{path}: the piece {number} is no control symbol, config.json's {name}", cure=_ANOTHERS
            )


def _merges(model: Any) -> list[tuple[str, str]]:
    """All pairs of pieces that make a piece, best first; pieces that only stand for themselves are never made."""
    scores = {piece.piece: piece.score for piece in model.pieces if piece.type == _NORMAL}
    return [
        (piece[:cut], piece[cut:])
        for piece in sorted(scores, key=scores.__getitem__, reverse=True)
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]


def _build(model: Any, chat: tuple[str, ...], bos: str | None) -> Any:
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors

    vocabulary = {piece.piece: number for number, piece in enumerate(model.pieces)}
    unknown = next(piece.piece for piece in model.pieces if piece.type == _UNKNOWN)
    built: Any = Tokenizer(models.BPE(vocabulary, _merges(model), unk_token=unknown, byte_fallback=True))
    symbols = [piece.piece for piece in model.pieces if piece.type == _USER_DEFINED]
    steps: list[Any] = [normalizers.Replace(" ", _SPACE)]
    ends: list[Any] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.normalizer_spec.add_dummy_prefix:
        steps.insert(0, normalizers.Prepend(_SPACE))
        ends.append(decoders.Strip(" ", 1, 0))
        # The symbols themselves pass through the normaliser, too, before they are looked for: without the prefix, please.
        # (A text that is nothing but one symbol loses its prefix with that; SentencePiece would give it one.)
        spelled = "|".join("".join(f"\\x{{{ord(letter):X}}}" for letter in symbol) for symbol in symbols)
        if symbols:
            steps.append(normalizers.Replace(Regex(rf"\A{_SPACE}(?=(?:{spelled})\z)"), ""))
    built.normalizer = normalizers.Sequence(steps)
    built.decoder = decoders.Sequence(ends)
    controls = [piece.piece for piece in model.pieces if piece.type in (_UNKNOWN, _CONTROL)]
    built.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in controls])
    built.add_tokens([AddedToken(name, normalized=True, special=name in chat) for name in symbols])
    if bos:
        built.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, vocabulary[bos])]
        )
    return built


def _chat_tokens(model: Any, shape: Shape, folder: Path) -> tuple[str, ...]:
    """The pieces that open the user's and the assistant's turn; none for a Baichuan-7B whose tokenizer reserves none."""
    path = folder / "generation_config.json"
    told = read_json(path) if path.exists() else {}
    numbers = [told.get(name, usual) for name, usual in _CHAT_IDS.items()]
    names = tuple(
        model.pieces[number].piece if isinstance(number, int) and 0 <= number < len(model.pieces) else ""
        for number in numbers
    )
    if shape.generation == 2 and names != _CHAT_NAMES:
        raise ConversionError(
            f"{folder / MODEL}: the pieces {numbers} are {names}, Baichuan2's are {_CHAT_NAMES}", cure=_ANOTHERS
        )
    return names if all(_RESERVED.fullmatch(name) for name in names) else ()


def chat_template(user: str, assistant: str) -> str:
    """Jinja of the published `build_chat_input`: the system's text bare and first, then a token before each turn's text."""
    return (
        "{% for message in messages %}"
        "{% if message['role'] == 'system' and loop.first %}{{ message['content'] }}"
        f"{{% elif message['role'] == 'user' %}}{{{{ '{user}' + message['content'] }}}}"
        f"{{% elif message['role'] == 'assistant' %}}{{{{ '{assistant}' + message['content'] }}}}"
        "{% else %}{{ raise_exception('roles are user and assistant, and system for the first message') }}{% endif %}"
        "{% endfor %}"
        f"{{% if add_generation_prompt and messages[-1]['role'] != 'assistant' %}}{{{{ '{assistant}' }}}}{{% endif %}}"
    )


def check_ids(path: Path, built: Any, texts: tuple[str, ...] = SAMPLES) -> int:
    """Compare with SentencePiece itself; the number of texts compared, 0 where it is not installed. Raises ConversionError."""
    if importlib.util.find_spec("sentencepiece") is None:
        return 0
    from sentencepiece import SentencePieceProcessor

    reference = SentencePieceProcessor(model_file=str(path))
    for text in texts:
        if reference.encode(text) != built.encode(text, add_special_tokens=False).ids:
            raise ConversionError(
                f"the converted tokenizer gives {text!r} other ids than {path}",
                cure="do not use it; report the tokenizer's origin with this message",
            )
    return len(texts)


def convert_tokenizer(folder: Path, shape: Shape, target: Path) -> int:
    """Write tokenizer.json and tokenizer_config.json into `target`; returns how many texts were compared with SentencePiece.

    Raises ConversionError for a tokenizer that is not of Baichuan's kind, or of another size than the model.
    """
    model = _read(folder / MODEL)
    _check(model, shape, folder / MODEL)
    names = {name: model.pieces[getattr(shape, f"{name}_token_id")].piece for name in ("bos", "eos", "pad")}
    chat = _chat_tokens(model, shape, folder)
    # The published class puts <s> first unless told otherwise; the published configurations tell it.
    told = read_json(folder / "tokenizer_config.json")
    built = _build(model, chat, names["bos"] if told.get("add_bos_token", True) else None)
    compared = check_ids(folder / MODEL, built)
    built.save(str(target / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": shape.max_position_embeddings,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "bos_token": names["bos"],
        "eos_token": names["eos"],
        "pad_token": names["pad"],
        "unk_token": next(piece.piece for piece in model.pieces if piece.type == _UNKNOWN),
        **({"chat_template": chat_template(*chat)} if chat else {}),
    }
    text = json.dumps(config, ensure_ascii=False, indent=1)
    (target / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
    return compared
