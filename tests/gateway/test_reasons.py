"""What is wrong with a request, as the pages say it in Chinese."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from gateway.api.companies import NewCompany
from gateway.auth import Caller, demand
from gateway.pages.document import plain
from gateway.pages.strings.common import STRINGS
from gateway.pages.strings.reasons import SCOPES, told
from gateway.problems import Problem
from yuqing.text.query import QueryError, parse


@pytest.mark.parametrize(
    ("query", "chinese"),
    [
        ("苹果 AND (手机", "第 8 个字处：这个括号没有闭合。"),
        ("苹果)", "第 3 个字处：这个右括号没有对应的左括号。"),
        ('苹果 "手机', "第 4 个字处：这个引号没有闭合。"),
        ("苹果 AND", "第 7 个字处：AND 之后缺少一个词，这里却是 结尾。"),
        ("OR 苹果", "第 1 个字处：缺少一个词，这里却是 OR。"),
        ("NOT 苹果", "第 1 个字处：查询只说了不能出现什么，几乎会匹配所有文章；请用 AND 加上一个词。"),
        ("苹果 NEAR 手机", "第 4 个字处：请写明相隔多少个字：NEAR/1 到 NEAR/"),
        ("苹*", "第 1 个字处：? 和 * 只能用在拉丁字母和数字的词里"),
        ("。", "第 1 个字处：没有文字或数字。"),
        ("(" * 200 + "苹果" + ")" * 200, "个字处：括号嵌套超过 "),
        ("苹果 " * 500, "个字处：超过 "),
        ("苹果" * 5000, "个字处：查询有 10000 个字，最多 "),
    ],
)
def test_mistakes_in_queries(query: str, chinese: str) -> None:
    with pytest.raises(QueryError) as error:
        parse(query)
    assert chinese in told("zh", error.value.message)
    assert told("en", error.value.message) == error.value.message


@given(some.text(alphabet="苹果a1 ()\"*?。ANDORTE/'", max_size=20))
def test_every_mistake_in_a_query_has_its_chinese(query: str) -> None:
    found: QueryError | None = None
    try:
        parse(query)
    except QueryError as error:
        found = error
    if found is not None:
        place, _, why = told("zh", found.message).partition("：")
        assert place == f"第 {found.position + 1} 个字处"
        # Without what it quotes of the query.
        assert re.search("[\u4e00-\u9fff]", why.replace("苹果", ""))


@pytest.mark.parametrize(
    ("company", "chinese"),
    [
        ({"name": "远"}, "有 1 个字，应为 2 到 60 个字。"),
        ({"name": "远" * 61}, "有 61 个字，应为 2 到 60 个字。"),
        ({"name": "。。"}, "没有文字或数字。"),
        ({"name": "苹果", "exclude_words": ["香蕉"]}, "排除词“香蕉”不含任何名称，不会起作用。"),
        ({"name": "苹果", "exclude_words": ["苹果"]}, "排除词“苹果”就是名称之一，会使它永远匹配不到。"),
    ],
)
def test_what_is_wrong_with_a_company(company: dict[str, object], chinese: str) -> None:
    with pytest.raises(ValidationError) as error:
        NewCompany.model_validate(company)
    assert told("zh", str(error.value.errors()[0]["msg"]).removeprefix("Value error, ")) == chinese


@pytest.mark.parametrize(
    ("reason", "chinese"),
    [
        ("the file has 12.5 MiB, more than the 8.0 MiB that are allowed", "文件有 12.5 MiB，超过允许的 8.0 MiB。"),
        ("the file has no audio track (it holds subtitle, video)", "文件没有声音轨道，只有：subtitle, video。"),
        ("the file is longer than the 0.5 hours that are allowed", "录音超过允许的 0.5 小时。"),
        ("the file is encrypted (DRM)", "文件有版权保护（DRM），无法解密。"),
        ("the file: the audio track is damaged: Invalid data", "声音轨道已损坏（Invalid data）。"),
        ("the file does not exist", "对象存储里已经没有这个文件。"),
    ],
)
def test_why_a_recording_has_no_transcript(reason: str, chinese: str) -> None:
    sha256 = "0a" * 32
    for name in (f"{sha256}.mp3", f"media/0a/{sha256}.bin", sha256):
        said = plain(reason.replace("the file", name), sha256)
        assert said == reason, "the file's name alone is replaced"
        assert told("zh", said) == chinese


def test_a_scope_that_is_missing() -> None:
    with pytest.raises(Problem) as refused:
        demand(Caller(1, 1, "公关部", "测试", "yq_abcdef", "viewer"), "analyst")
    assert told("zh", refused.value.detail) == "您的密钥是“只读”权限，这里需要“分析员”权限。"
    assert told("zh", refused.value.cure) == "请管理员给您一个“分析员”权限的密钥。"
    assert {scope: STRINGS[f"scope.{scope}"][0] for scope in SCOPES} == SCOPES


def test_what_has_no_translation_stays_as_it_is() -> None:
    assert told("zh", "something {0} new {") == "something {0} new {"
    assert told("zh", "the team watches '{0}' already") == "团队已经关注“{0}”。"
    assert told("zh", "the team watches 'admin' already") == "团队已经关注“admin”。"
