"""The analysis's settings: the endpoint, prompts, triage, serving."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from yuqing.settings.section import Section


class LLMSettings(Section):
    """The language model's server (any OpenAI-compatible endpoint) and how documents are put to it."""

    url: str | None = Field(None, description="base URL ending in /v1; empty: the embedded vLLM")
    model: str = Field("yuqing", description="the served model's name")
    api_key: SecretStr | None = None
    concurrency: int = Field(32, ge=1, description="requests under way at once; vLLM batches them")
    timeout_s: float = Field(300, gt=0, description="a request's; on 2 cores one of 32 takes a minute")
    connect_timeout_s: float = Field(5, gt=0)
    attempts: int = Field(4, ge=1, description="tries a request, with jitter between them")
    retry_most_s: float = Field(10, gt=0, description="the longest pause between two tries")
    circuit_failures: int = Field(
        8, ge=1, description="requests, or answers, that fail one after the other until the server is left alone"
    )
    circuit_pause_s: float = Field(
        5, gt=0, description="until it is tried with one request; twice as long each time that one fails,"
    )
    circuit_most_s: float = Field(60, gt=0, description="but no longer than this")
    text_tokens: int = Field(
        230, ge=40, description="tokens of numbered sentences in a prompt; the adapter was trained with 230"
    )
    label_text_tokens: int = Field(
        120, ge=20, description="the same where only the sentiment is asked; more were no more right (docs/analysis.md)"
    )
    answer_tokens: int = Field(140, ge=40, description="tokens an answer may take without its companies")
    company_tokens: int = Field(50, ge=20, description="tokens more for each company")
    base: str = Field(
        "qwen2.5-coder-0.5b-instruct-gguf",
        description="the embedded server's base (`yuqing models list`), or a folder that `yuqing llm convert-baichuan` made",
    )
    adapter: str = Field(
        "inews-v2",
        description="its adapter while none is active on S3; set expressly it comes before the active one; empty: the bare base",
    )
    python: Path | None = Field(None, description="an interpreter that has vLLM; empty: the one of .venv-vllm")
    max_model_len: int = Field(2048, ge=512, description="tokens of prompt and answer together")
    kv_cache_gib: int = Field(1, ge=1, description="memory for keys and values on a CPU; 1 holds 40,000 tokens or more")
    company_clauses: Literal["off", "rules", "llm"] = Field(
        "rules",
        description="how each company's own clauses are read for its sentiment and evidence: not at all, by words and triage, or "
        "by the language model, too (a dozen tokens more a company; its weights are fitted by `yuqing llm entities fit --answers`)",
    )
    triage: bool = Field(True, description="answer what triage is sure of without the language model")
    triage_neutral: float = Field(
        0.77, ge=0, description="confidence from which triage's neutral is right in 90 % of INEWS's dev split"
    )
    triage_negative: float = Field(0.58, ge=0, description="the same for its negative; its positive never counts")
    daily_tokens: int = Field(
        0,
        ge=0,
        description="tokens of all analyses a UTC day, after which what triage cannot answer waits; 0: no limit",
    )
    compile: bool | None = Field(
        None, description="let vLLM compile the model at its start; empty: on a GPU (on 2 cores it takes minutes)"
    )
    adapter_mode: Literal["merged", "runtime"] = Field(
        "merged",
        description="merged: into the base, which is six times as fast on a CPU; runtime: beside it, changed without a restart",
    )
    max_lora_rank: Literal[8, 16, 32, 64, 128, 256] = Field(
        16, description="the largest rank of an adapter that a server with adapter_mode runtime takes"
    )
    prefix_caching: bool = Field(True, description="keep the keys and values of the instruction that all prompts share")
    quantization: str | None = Field(
        None,
        description="how a quantised checkpoint is to be read (awq, gptq, fp8, bitsandbytes); empty: as it says itself",
    )
    tensor_parallel: int = Field(1, ge=1, description="GPUs over which the model is spread")
    gpu_memory: float = Field(0.9, gt=0, le=1, description="share of a GPU's memory that the server takes")
    guided_backend: Literal["xgrammar", "guidance", "outlines"] = Field(
        "xgrammar", description="what enforces the answer's JSON schema"
    )
    drain_s: int = Field(
        80, ge=0, description="after SIGTERM, for the requests that the server has under way; 0: they are cut off"
    )
    stop_s: float = Field(
        10,
        gt=0,
        description="after that, or while it loads, for the server's own end; then it is killed with all of its processes",
    )
    server_options: tuple[str, ...] = Field((), description="further words of vLLM's command line")
