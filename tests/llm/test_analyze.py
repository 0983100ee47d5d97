"""The analysis against a server that is scripted, to have the answers that a real one rarely gives."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from llm.analysis.analyze import AnalysisResult, analyze_document, document_sentiment, version_of
from llm.analysis.client import LLMAway, LLMClient, LLMRefused, Served, split_served_name
from llm.analysis.prompts import Company
from llm.analysis.schema import InvalidAnswer
from tests.llm.scripted import answer, chat, judged
from yuqing.endpoints import LLMEndpoint
from yuqing.settings import LLMSettings

TITLE = "滴滴下线顺风车"
TEXT = "滴滴今天宣布下线顺风车。公司向乘客道歉。美团没有回应。"
SETTINGS = LLMSettings(attempts=2, retry_most_s=0.01, company_clauses="off")  # type: ignore[call-arg]
Respond = Callable[[dict[str, Any]], httpx.Response]


def _chat(text: str, finish: str = "stop") -> httpx.Response:
    return httpx.Response(200, json=chat(text, finish))


def _run(respond: Respond, use: Callable[[LLMClient], Any]) -> tuple[Any, list[dict[str, Any]]]:
    asked: list[dict[str, Any]] = []

    def handle(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else {}
        asked.append(body)
        return respond(body)

    async def run() -> Any:
        endpoint = LLMEndpoint("http://127.0.0.1:1/v1", "key", "yuqing")
        async with LLMClient(endpoint, SETTINGS, httpx.MockTransport(handle)) as client:
            return await use(client)

    return asyncio.run(run()), asked


def _analyse(respond: Respond, companies: list[Company]) -> tuple[AnalysisResult, list[dict[str, Any]]]:
    return _run(respond, lambda client: analyze_document(client, TITLE, TEXT, companies, SETTINGS))


def test_a_verdict_has_its_quote() -> None:
    result, asked = _analyse(lambda body: _chat(answer([judged(1), judged(2, evidence=[3], sentiment="neutral")])),
                             [Company("滴滴"), Company("美团")])  # fmt: skip
    didi, meituan = result.companies
    assert (didi.evidence[0].quote, didi.risk_level, didi.grounded) == ("滴滴今天宣布下线顺风车。", 2, True)
    assert (meituan.evidence[0].quote, meituan.risk_level, meituan.risk_types) == ("美团没有回应。", 0, ())
    assert result.keywords == ("滴滴",)
    assert (result.score, result.confidence) == (-1.0, 1.0)
    assert asked[0]["response_format"]["json_schema"]["schema"]["properties"]["companies"]["maxItems"] == 2


def test_each_companys_own_clauses_decide_whatever_was_said_of_the_document() -> None:
    text = "滴滴造假被立案，美团获奖。美团的订单爆满。天气好。"
    asked: list[int] = []

    def respond(body: dict[str, Any]) -> httpx.Response:
        properties = body["response_format"]["json_schema"]["schema"]["properties"]
        asked.append(len(properties))
        if "companies" not in properties:  # a company's clauses by themselves
            return _chat('{"sentiment":"neutral"}')
        return _chat(answer([judged(1, sentiment="neutral", risk=0, types=[], evidence=[3]), judged(2, evidence=[3])]))

    companies = [Company("滴滴"), Company("美团")]
    for mode, calls in (("rules", 1),):
        asked.clear()
        settings = SETTINGS.model_copy(update={"company_clauses": mode})
        result, _ = _run(respond, lambda client, s=settings: analyze_document(client, TITLE, text, companies, s))
        didi, meituan = result.companies
        assert len(asked) == calls
        assert (didi.sentiment, didi.risk_level, didi.risk_types[0]) == ("negative", 3, "法律合规")
        assert [item.quote for item in didi.evidence] == ["滴滴造假被立案，美团获奖。"]
        assert (meituan.sentiment, meituan.risk_level, meituan.risk_types) == ("positive", 0, ())
        assert all(text[item.start : item.end] == item.quote for item in meituan.evidence)
        assert meituan.score > 0 > didi.score
    versions = {version_of(SETTINGS.model_copy(update={"company_clauses": mode})) for mode in ("off", "rules", "llm")}
    assert len(versions) == 3


def test_a_cut_answer_is_asked_once_more_in_a_shorter_form() -> None:
    answers = [_chat('{"sentiment":"negative","cate', "length"), _chat(answer([judged(1)]))]
    result, asked = _analyse(lambda body: answers.pop(0), [Company("滴滴")])
    lengths = [body["response_format"]["json_schema"]["schema"]["properties"]["summary"]["maxLength"] for body in asked]
    assert lengths[0] > lengths[1]
    assert (result.prompt_tokens, result.completion_tokens) == (200, 20)


def test_an_answer_cut_twice_is_a_typed_failure() -> None:
    with pytest.raises(InvalidAnswer, match="cut at the token limit"):
        _analyse(lambda body: _chat('{"sentiment":"neg', "length"), [Company("滴滴")])


def test_a_server_that_enforces_nothing_is_a_typed_failure() -> None:
    with pytest.raises(InvalidAnswer, match="schema"):
        _analyse(lambda body: _chat("好的，这篇文章是负面的。"), [Company("滴滴")])


def test_a_number_that_does_not_exist_leaves_the_verdict_ungrounded() -> None:
    result, _ = _analyse(lambda body: _chat(answer([judged(1, evidence=[1, 77])])), [Company("滴滴")])
    assert [item.quote for item in result.companies[0].evidence] == ["滴滴今天宣布下线顺风车。"]
    assert not result.companies[0].grounded


def test_a_company_that_the_document_does_not_name_has_no_evidence() -> None:
    result, asked = _analyse(lambda body: _chat(answer([judged(1, evidence=[1])])), [Company("格力")])
    assert (result.companies[0].evidence, result.companies[0].grounded) == ((), False)
    schema = asked[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["companies"]["prefixItems"][0]["properties"]["evidence"]["maxItems"] == 0


def test_companies_go_in_chunks_of_five() -> None:
    def respond(body: dict[str, Any]) -> httpx.Response:
        count = body["response_format"]["json_schema"]["schema"]["properties"]["companies"]["maxItems"]
        return _chat(answer([judged(number, evidence=[]) for number in range(1, count + 1)]))

    names = [f"公司{number}" for number in range(12)]
    result, asked = _analyse(respond, [Company(name) for name in names])
    assert [company.company for company in result.companies] == names
    assert len(asked) == 3


def test_an_empty_document_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(ValueError, match="neither a title nor a text"):
        _run(lambda body: _chat(""), lambda client: analyze_document(client, " ", "", [], SETTINGS))


def test_the_sentiment_alone() -> None:
    label, _ = _run(
        lambda body: _chat('{"sentiment":"positive"}'), lambda client: document_sentiment(client, TITLE, TEXT, SETTINGS)
    )
    assert (label.sentiment, label.score) == ("positive", 1.0)


@pytest.mark.parametrize("status", [503, 404])  # 404: an adapter is just taking another's place
def test_a_server_that_is_in_trouble_for_a_moment_is_asked_again(status: int) -> None:
    answers = [httpx.Response(status), _chat(answer([judged(1)]))]
    assert _analyse(lambda body: answers.pop(0), [Company("滴滴")])[0].companies[0].grounded


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (httpx.Response(503), LLMAway, "503"),
        (httpx.Response(200, text="<html>"), LLMAway, "not a JSON object"),
        (httpx.Response(401), LLMRefused, "API key"),
        (httpx.Response(404, text="no model"), LLMRefused, "no model"),
        (httpx.Response(200, json={"choices": []}), LLMRefused, "another form"),
    ],
)
def test_a_server_that_cannot_be_used_is_one_clear_error(response: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        _analyse(lambda body: response, [Company("滴滴")])
    assert getattr(caught.value, "cure", "")


def test_a_server_that_does_not_listen_is_one_clear_error() -> None:
    async def ask() -> None:
        async with LLMClient(LLMEndpoint("http://127.0.0.1:1/v1", "", "yuqing"), SETTINGS) as client:
            await client.served()

    with pytest.raises(LLMAway, match="yuqing up"):
        asyncio.run(ask())


def _models(*cards: dict[str, Any]) -> Respond:
    return lambda body: httpx.Response(200, json={"data": list(cards)})


def test_lineage_is_what_the_server_says() -> None:
    merged = {"id": "yuqing", "root": "/models/qwen+inews-v1-abcd", "owned_by": "vllm"}
    served, _ = _run(_models(merged), lambda client: client.served())
    assert served == Served("vllm", "qwen", "inews-v1-abcd")
    at_run_time = {"id": "yuqing", "root": "/adapters/mine-abcd", "parent": "base", "owned_by": "vllm"}
    served, _ = _run(_models({"id": "base", "root": "/models/baichuan"}, at_run_time), lambda client: client.served())
    assert served == Served("vllm", "baichuan", "mine-abcd")


def test_a_server_of_another_model_is_refused() -> None:
    with pytest.raises(LLMRefused, match="serves gpt, not yuqing"):
        _run(_models({"id": "gpt"}), lambda client: client.served())


def test_a_bare_base_has_no_adapter() -> None:
    assert split_served_name("/models/qwen/") == ("qwen", None)
