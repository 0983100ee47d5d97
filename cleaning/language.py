"""Which language a text is in."""

import re

_IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
# Japanese prose is 40-60 % kana; Chinese texts quote a Japanese name at most. Latin words and figures in Chinese business news
# reach two thirds of the letters, and code in a page more. What the quality filter takes for Chinese by default is it here too.
_KANA_SHARE, _CHINESE_SHARE, _CHINESE_ENOUGH = 0.2, 0.15, 300
_SAMPLE = 2000


def language(text: str) -> str:
    """An ISO 639-1 code: scripts decide for Chinese, Japanese and Korean, a trained identifier for the rest."""
    sample = text[:_SAMPLE]
    letters = sum(map(str.isalpha, sample))
    if not letters:
        return "zh"
    if len(_KANA.findall(sample)) > _KANA_SHARE * letters:
        return "ja"
    if len(_HANGUL.findall(sample)) > _KANA_SHARE * letters:
        return "ko"
    if len(_IDEOGRAPHS.findall(sample)) > _CHINESE_SHARE * letters or len(_IDEOGRAPHS.findall(text)) >= _CHINESE_ENOUGH:
        return "zh"
    import py3langid  # 1.5 s, most of it for unpacking its model

    return str(py3langid.classify(sample)[0])
