"""Which language a text is in."""

import re

_IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile("[\u3041-\u30ff]")
_HANGUL = re.compile("[\uac00-\ud7af]")
# A third and more of a Japanese text's own letters are kana (Korean: nearly all are hangul); Chinese texts quote a name or a title.
_OWN_SHARE = 0.2
# Latin words and figures in Chinese business news reach two thirds of the letters, and code in a page more. What the quality
# filter takes for Chinese by default (minimum_chinese_share, or an article's worth of ideographs) is no other language here.
_EASTERN_SHARE, _ARTICLE = 0.15, 300
_SAMPLE = 2000  # characters that the identifier reads


def language(text: str) -> str:
    """An ISO 639-1 code: scripts decide for Chinese, Japanese and Korean, a trained identifier for the rest."""
    letters = sum(map(str.isalpha, text))
    if not letters:
        return "zh"
    ideographs, kana, hangul = (len(script.findall(text)) for script in (_IDEOGRAPHS, _KANA, _HANGUL))
    eastern = ideographs + kana + hangul
    if eastern > _EASTERN_SHARE * letters or eastern >= _ARTICLE:
        if kana > _OWN_SHARE * eastern:
            return "ja"
        return "ko" if hangul > _OWN_SHARE * eastern else "zh"
    import py3langid  # 1.5 s, most of it for unpacking its model

    return str(py3langid.classify(text[:_SAMPLE])[0])
