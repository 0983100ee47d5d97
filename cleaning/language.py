"""Which language a text is in."""

import re

_IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
# Japanese prose is 40-60 % kana; Chinese texts quote a Japanese name at most. Latin words and figures in Chinese
# business news reach two thirds of the letters.
_KANA_SHARE, _CHINESE_SHARE = 0.2, 0.3
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
    if len(_IDEOGRAPHS.findall(sample)) > _CHINESE_SHARE * letters:
        return "zh"
    import py3langid

    return str(py3langid.classify(sample)[0])
