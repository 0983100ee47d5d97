"""What is wrong with a request, in Chinese: the API says it in English, and the pages say the commonest in the reader's language.

A reason without an entry is shown as it is. `{1}` is what the pattern's first group has found, `{t1}` the same as
a reason or scope of its own, in Chinese.
"""

import re
from typing import Literal

SCOPES = {"viewer": "只读", "analyst": "分析员", "operator": "运维", "admin": "管理员"}

_CHINESE: tuple[tuple[str, str], ...] = (
    # scopes
    (r"the key \S+ has the scope (\w+); this needs (\w+)", "您的密钥是“{t1}”权限，这里需要“{t2}”权限。"),
    (r"ask for a key with the scope (\w+)", "请管理员给您一个“{t1}”权限的密钥。"),
    # periods
    (r"query\.from: is after the end of the period", "开始日期在结束日期之后。"),
    ("give from ≤ to", "请把两个日期对调，或换一个开始日期。"),
    (r"query\.(?:from|to): Input should be a valid date.*", "日期有误，请写成 2026-03-08 的样子。"),
    (r"query\.(?:from|to): the year has to be between (\d+) and (\d+)", "日期有误：年份应在 {1} 到 {2} 之间。"),
    (r"query\.from: the period is longer than (\d+) days", "时段超过 {1} 天。"),
    ("choose a shorter one", "请选一个较短的时段。"),
    # searches
    (r"query\.q: holds no letter and no digit", "搜索词里没有文字或数字。"),
    ("search for a word, such as (.+)", "请搜索一个词，如：{1}"),
    # companies
    ("the team watches '(.+)' already", "团队已经关注“{1}”。"),
    ("choose another name, or add aliases to it", "请换一个名称，或给已有的公司添加别名。"),
    ("choose another name", "请换一个名称。"),
    (r"has (\d+) characters; (\d+) to (\d+) are allowed", "有 {1} 个字，应为 {2} 到 {3} 个字。"),
    ("holds no letter and no digit", "没有文字或数字。"),
    ("holds control characters", "含有控制字符。"),
    ("exclude word '(.+)' holds none of the names, so it would do nothing", "排除词“{1}”不含任何名称，不会起作用。"),
    (
        "exclude word '(.+)' is one of the names, which would never be found",
        "排除词“{1}”就是名称之一，会使它永远匹配不到。",
    ),
    # recordings without a transcript (asr/audio.py, asr/worker.py), with "the file" in place of its name
    (r"the file is no audio or video that can be read: (.+)", "文件不是可以读取的音频或视频（{1}）。"),
    (r"the file is empty", "文件是空的。"),
    (r"the file has no audio track \(it holds (.+)\)", "文件没有声音轨道，只有：{1}。"),
    (r"the file has an audio track without sound", "文件的声音轨道里没有声音。"),
    (r"the file: the audio track is damaged: (.+)", "声音轨道已损坏（{1}）。"),
    (r"the file is encrypted \(DRM\)", "文件有版权保护（DRM），无法解密。"),
    (r"the file has ([\d.]+) MiB, more than the ([\d.]+) MiB that are allowed", "文件有 {1} MiB，超过允许的 {2} MiB。"),
    (r"the file is longer than the (\S+) hours that are allowed", "录音超过允许的 {1} 小时。"),
    (r"the file does not exist", "对象存储里已经没有这个文件。"),
    (r"the file holds other bytes: .+", "文件的内容与登记的不符。"),
    # boolean queries
    (r"at character (\d+): (.+)", "第 {1} 个字处：{t2}"),
    ("this parenthesis is never closed", "这个括号没有闭合。"),
    ("this parenthesis closes nothing", "这个右括号没有对应的左括号。"),
    ("this quotation mark is never closed", "这个引号没有闭合。"),
    ("a word is missing; here comes (.+)", "缺少一个词，这里却是 {t1}。"),
    ("a word is missing after (.+); here comes (.+)", "{1} 之后缺少一个词，这里却是 {t2}。"),
    ("the end", "结尾"),
    ("a closing parenthesis", "右括号"),
    ("the query is empty; .+", "查询是空的，请写名称，或用 AND、OR、NOT 连接的名称。"),
    (
        "the query asks only for what must be missing .+",
        "查询只说了不能出现什么，几乎会匹配所有文章；请用 AND 加上一个词。",
    ),
    ("NEAR joins words, or words in parentheses joined by OR", "NEAR 只能连接词，或括号里用 OR 连接的词。"),
    (r"write how many characters may lie between: NEAR/1 to NEAR/(\d+)", "请写明相隔多少个字：NEAR/1 到 NEAR/{1}。"),
    (r"more than (\d+) words", "超过 {1} 个词。"),
    (r"more than (\d+) parentheses inside each other", "括号嵌套超过 {1} 层。"),
    (r"the query has (\d+) characters; (\d+) are allowed", "查询有 {1} 个字，最多 {2} 个。"),
    (
        r"\? and \* stand in words of Latin letters.+",
        "? 和 * 只能用在拉丁字母和数字的词里，前面至少写出两个字符（600???.SH、AAPL*）；要找符号本身，请加引号。",
    ),
)
_PATTERNS = tuple((re.compile(pattern, re.DOTALL), chinese) for pattern, chinese in _CHINESE)


def told(language: Literal["zh", "en"], reason: str) -> str:
    """The reason in this language; as it is where it has no translation."""
    if language == "en":
        return reason
    if reason in SCOPES:
        return SCOPES[reason]
    for pattern, chinese in _PATTERNS:
        if found := pattern.fullmatch(reason):
            # The groups are parts of the reason, so that this ends.
            groups = found.groups()
            inner = {f"t{number}": told(language, group) for number, group in enumerate(groups, 1)}
            return chinese.format(reason, *groups, **inner)
    return reason
