"""The one tree of settings: defaults that work, then `yuqing.toml`, then `YUQING_*` variables.

Nested names use two underscores: `YUQING_S3__ENDPOINT`. Secrets come from the environment or from files named by
`YUQING_SECRETS_DIR`, and are never printed. A setting that does not exist is an error that names the nearest that does.
"""

import difflib
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from yuqing.errors import YuqingError

PREFIX = "YUQING_"
# Read by the set-up script and by this module before the tree exists; they are not settings of the tree.
BOOTSTRAP_VARIABLES = frozenset({"YUQING_CONFIG", "YUQING_SECRETS_DIR", "YUQING_TORCH_INDEX", "YUQING_PYTHON"})


class SettingsError(YuqingError):
    """A setting is unknown or has a value of the wrong type."""


class Section(BaseModel):
    """One stage's settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class S3Settings(Section):
    """Where objects live. Without an endpoint the embedded SeaweedFS that `yuqing up` started is used."""

    endpoint: str | None = Field(None, description="URL of an S3 service; empty: the embedded one")
    bucket: str = "yuqing"
    prefix: str = Field("", description="every key is put under this prefix")
    region: str = "us-east-1"
    access_key: SecretStr | None = None
    secret_key: SecretStr | None = None
    attempts: int = Field(5, ge=1, description="tries a request, with exponential back-off and jitter")
    multipart_bytes: int = Field(16 * 2**20, ge=5 * 2**20, description="larger objects go up in parts of this size")


class DatabaseSettings(Section):
    """The PostgreSQL 15+ that holds documents, verdicts, ledger and job queue."""

    url: SecretStr | None = Field(
        None, description="postgresql://user:password@host:port/name; empty: the embedded one"
    )
    pool_size: int = Field(5, ge=1)
    connect_timeout_s: int = Field(5, ge=1)


class JobSettings(Section):
    """The job queue. A job whose worker stopped its heartbeat is put back after `stalled_after_s`."""

    heartbeat_s: float = Field(3, gt=0)
    stalled_after_s: float = Field(30, gt=0)
    attempts: int = Field(3, ge=1, description="tries a job before it is quarantined")


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
    text_tokens: int = Field(
        230, ge=40, description="tokens of numbered sentences in a prompt; the adapter was trained with 230"
    )
    answer_tokens: int = Field(140, ge=40, description="tokens an answer may take without its companies")
    company_tokens: int = Field(50, ge=20, description="tokens more for each company")
    base: str = Field(
        "qwen2.5-coder-0.5b-instruct-gguf", description="the embedded server's base model (`yuqing models list`)"
    )
    adapter: str = Field("inews-v1", description="the adapter merged into it; empty: the bare base")
    python: Path | None = Field(None, description="an interpreter that has vLLM; empty: the one of .venv-vllm")
    max_model_len: int = Field(2048, ge=512, description="tokens of prompt and answer together")
    kv_cache_gib: int = Field(1, ge=1, description="memory for keys and values on a CPU; 1 holds 40,000 tokens or more")
    triage: bool = Field(True, description="answer what triage is sure of without the language model")
    triage_neutral: float = Field(
        0.8, ge=0, description="confidence from which triage's neutral is right in 90 % of INEWS's dev split"
    )
    triage_negative: float = Field(0.57, ge=0, description="the same for its negative; its positive never counts")
    daily_tokens: int = Field(
        0,
        ge=0,
        description="tokens of all analyses a UTC day, after which what triage cannot answer waits; 0: no limit",
    )
    compile: bool = Field(False, description="let vLLM compile the model at its start; on 2 cores that takes minutes")


class CrawlerSettings(Section):
    """The crawl: which sites, how much at once, how large and how long things may be."""

    sites_folders: tuple[Path, ...] = Field((), description="folders of site files, in place of the shipped ones")
    concurrent_sites: int = Field(
        16, ge=1, description="sites crawled at the same time; most of a crawl is waiting for the sites' delays"
    )
    batch_pages: int = Field(500, ge=1, description="a batch is written when it has this many pages,")
    batch_bytes: int = Field(32 * 2**20, ge=1, description="or this many bytes,")
    batch_seconds: float = Field(60, gt=0, description="or this age")
    retry_runs: int = Field(20, ge=1, description="runs in which a page or a recording may fail until it is given up,")
    retry_days: float = Field(30, gt=0, description="or days after the first failure")
    retry_rest_s: float = Field(
        # Twenty runs, each rest twice the last one and a day at most, are then spread over nearly twelve days.
        600,
        ge=0,
        description="after two such runs it rests so long, then twice as long each time, a day at most; 0: nothing rests",
    )
    seen_grace_hours: float = Field(
        24, gt=0, description="segments of seen addresses that are younger are not merged: a crawl may still write them"
    )
    seen_cache_bytes: int = Field(
        2**20, ge=8, description="merged segments from this size on are kept in cache_dir and mapped into memory"
    )
    download_timeout_s: float = Field(30, gt=0)
    retries: int = Field(
        2, ge=0, description="further tries of a request that failed or met 408, 425, 429, 5xx, a captcha or nothing"
    )
    backoff_base_s: float = Field(2, ge=0, description="a further try comes after up to this, twice this, ... seconds,")
    backoff_max_s: float = Field(60, ge=0, description="but no more than this")
    retry_after_max_s: float = Field(60, ge=0, description="a host that asks for a pause gets one up to this")
    crawl_delay_max_s: float = Field(
        # Bing, too, takes Crawl-delay for 1 to 30 seconds.
        30,
        ge=0,
        description="a Crawl-delay of robots.txt raises a site's delay up to this; 0: never",
    )
    circuit_failures: int = Field(
        8, ge=1, description="pages that fail one after the other until their host is left alone"
    )
    circuit_pause_s: float = Field(30, gt=0, description="until one of its pages is tried again")
    circuit_openings: int = Field(2, ge=0, description="such pauses a run; then the host is left to the next run")
    sitemaps: int = Field(
        50, ge=0, description="sitemaps of indexes that a run reads of a site: the newest, then undated ones at random"
    )
    searches: int = Field(
        200, ge=1, description="names that a run asks a site's search for; of more it draws so many at random"
    )
    page_bytes: int = Field(16 * 2**20, ge=1, description="larger pages are refused")
    media_bytes: int = Field(512 * 2**20, ge=1, description="larger recordings are refused")
    media_seconds: float = Field(14_400, gt=0, description="longer recordings are refused")
    media_wait_s: float = Field(30, ge=0, description="that a page waits for its recordings; then it goes on without")
    media_timeout_s: float = Field(600, gt=0, description="a whole recording")
    browsers: int = Field(2, ge=1, description="Chromium instances; 2 on 2 cores load 5.2 pages/s, 1 loads 3.1")
    browser_page_timeout_s: float = Field(30, gt=0, description="until the page's document is there")
    browser_wait_s: float = Field(15, gt=0, description="until the selector that a page is waited for exists")
    browser_step_s: float = Field(3, gt=0, description="until pressing or scrolling has added something to the page")
    browser_pages: int = Field(200, ge=1, description="a browser is replaced after so many pages,")
    browser_memory_mib: int = Field(1500, ge=100, description="or when all its processes hold more than this")
    chromium: Path = Path("/usr/bin/chromium")
    chromedriver: Path = Path("/usr/bin/chromedriver")
    stop_timeout_s: float = Field(20, gt=0, description="after SIGTERM, for the requests under way")
    bot_identity: str = Field(
        "",
        pattern=r"^([A-Za-z_-]+[\x20-\x7e]*)?$",
        description="our own name as User-Agent, such as yuqing/0.1 (+https://example.cn/bot); empty: as a browser",
    )
    user_agents_days: int = Field(180, ge=1, description="warn when the data of current browsers is older")
    proxy_failures: int = Field(3, ge=1, description="failures in a row after which a proxy is benched")
    proxy_bench_s: float = Field(30, gt=0, description="for so long, times the number of its benchings in a row")
    yield_runs: int = Field(50, ge=1, description="complete runs of a site whose median a run is compared with,")
    yield_runs_least: int = Field(5, ge=2, description="from so many on,")
    yield_days: float = Field(14, gt=0, description="none older than this")
    yield_share: float = Field(
        0.5, ge=0, le=1, description="a run that finds fewer links to articles than this share of the median is flagged"
    )


class CleaningSettings(Section):
    """The Spark job that turns raw pages into articles."""

    master: str = Field(
        "local[*,3]",
        description="Spark's master: local[cores,tries a task], spark://..., k8s://...; spark-submit's own wins",
    )
    executor_python: str | None = Field(
        None, description="the interpreter of executors on a cluster; empty: PYSPARK_PYTHON, or this one"
    )
    executor_packages: str | None = Field(
        None,
        description="archive (.zip, .tar.gz; a path or an address that Spark reads) of the dependencies, "
        "for executors whose image lacks them; the project itself is always sent",
    )
    s3_access: Literal["boto3", "s3a"] = Field(
        "boto3", description="how Spark's rounds read and write S3; s3a needs hadoop-aws in the image's Spark"
    )
    spark_options: dict[str, str] = Field(
        {}, description='further properties of Spark, as JSON: {"spark.executor.instances": "4"}'
    )
    spark_from_bytes: int = Field(
        4 * 2**20,
        ge=0,
        description="a run with fewer compressed bytes is cleaned by the driver itself, without Spark; 0: always Spark",
    )
    worker_silence_s: int = Field(
        300,
        ge=10,
        description="a Python worker that neither sends nor receives for so long is killed and its task tried again",
    )
    driver_memory: str = Field("1g", description="the JVM's heap in local mode; the Python workers are extra")
    batches_a_round: int = Field(
        200, ge=1, description="batches cleaned by one Spark job and merged in one transaction, at most"
    )
    bytes_a_round: int = Field(
        8 * 2**20,
        ge=1,
        description="compressed bytes with which a round is full (2,000 pages of news): small enough that merging the last one is "
        "no long wait for executors, large enough that planning a Spark job (2 CPU-seconds) does not show",
    )
    rounds_at_once: int = Field(
        3, ge=1, description="rounds under way: one in PostgreSQL, one with the executors, one that waits for both"
    )
    rows_a_transfer: int = Field(64, ge=1, description="pages a message between the JVM and a Python worker")
    maximum_record_bytes: int = Field(16 * 2**20, ge=1024, description="longer lines of a batch are quarantined")
    minimum_characters: int = Field(
        16,
        ge=0,
        description="title and text together; below it stand captions and error pages (0.5 % of labelled news texts)",
    )
    minimum_letter_share: float = Field(
        0.3, ge=0, le=1, description="tables of prices and lottery numbers stay below it"
    )
    maximum_unreadable_share: float = Field(
        0.02, ge=0, le=1, description="replacement characters: the page lost its text"
    )
    maximum_repeated_share: float = Field(
        0.75,
        ge=0,
        le=1,
        description="the same sentences again and again: spam; pages that hold their text three times reach 0.67",
    )
    minimum_chinese_share: float = Field(
        0.15,
        ge=0,
        le=1,
        description="ideographs among the letters; business news full of names in Latin letters have 30 %, other languages none",
    )
    maximum_link_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="of the text's characters, inside links: a channel's page; articles that link every name reach 30 %",
    )
    maximum_figures_share: float = Field(
        0.6,
        ge=0,
        le=1,
        description="of eight lines and more, short ones that end in a figure: price lists; tables in reports reach a third",
    )
    spam_words: int = Field(
        4,
        ge=2,
        description="different words of one kind in cleaning/spam_words.toml; news on the subject use up to three",
    )
    spam_share: float = Field(
        0.03, gt=0, le=1, description="of the characters are in those words; loses none of 7,159 labelled news texts"
    )
    site_line_pages: int = Field(
        5,
        ge=2,
        description="a line in so many different articles of a batch, and in such a share of it, is the site's; fewer are a series",
    )
    site_line_share: float = Field(
        0.1, gt=0, le=1, description="what a template repeats stands on all its pages, and a site has a few templates"
    )
    site_memory_pages: int = Field(
        50,
        ge=0,
        description="a batch with fewer pages also learns from the site's batches of the day before, until so many; 0: never",
    )
    duplicate_threshold: float = Field(
        0.4, gt=0, le=1, description="estimated Jaccard similarity of character 3-grams from which a text is a reprint"
    )
    duplicate_window_days: int = Field(
        90, ge=1, description="a text is compared with those first seen at most so many days before it"
    )
    duplicate_candidates: int = Field(200, ge=1, description="earlier documents a document is compared with at most")


class ASRSettings(Section):
    """Speech recognition. The defaults were measured with the base weights on Mandarin news (docs/asr.md)."""

    engine: Literal["faster-whisper", "openai-whisper"] = Field(
        "faster-whisper", description="openai-whisper is the reference to compare with: slower, twice the memory"
    )
    model: str = Field(
        "whisper-base",
        description="a name of `yuqing models list`, or a folder with CTranslate2 weights; openai-whisper: also a .pt file",
    )
    device: str = Field("auto", pattern="^(auto|cpu|cuda)$")
    compute_type: str = Field("int8", description="CTranslate2's: int8 on a CPU, float16 on a GPU")
    threads: int = Field(0, ge=0, description="CPU threads; 0: all cores")
    beam_size: int = Field(5, ge=1, description="5: CER .089 at real time × 0.15; 1: .097 at × 0.10")
    batch_size: int = Field(1, ge=1, description="half-minutes decoded at once; from 2 on each without the one before")
    correct_names: bool = Field(
        True, description="what sounds like a watched company's name, and the model was not sure of, becomes that name"
    )
    hot_words: bool = Field(False, description="watched companies' names are shown to the model with every half-minute")
    numbers: Literal["heard", "spoken", "written"] = Field(
        "heard", description="as the model wrote them, all in characters (百分之三), or in digits (3%)"
    )
    word_times: bool = Field(True, description="seconds and probability of each word")
    language: str | None = Field("zh", description="the language spoken; empty: found from the sound")
    prompt: str = Field(
        "以下是普通话的句子。", description="makes the model write punctuation, on which sentences depend"
    )
    limit_bytes: int = Field(
        4 * 2**30, ge=2**10, description="larger files are refused: hours of video have 1 to 3 GiB"
    )
    limit_s: float = Field(6 * 3600, gt=0, description="longer recordings are refused, whatever their container claims")
    window_s: float = Field(300, ge=30, description="audio held in memory at once; cut where it is quietest")
    voice_threshold: float = Field(0.3, gt=0, lt=1, description="Silero's probability from which a sound is a voice")
    pause_s: float = Field(3, ge=0, description="longer stretches without a voice are not shown to the model")
    voice_share: float = Field(0.1, ge=0, le=1, description="a segment with less voice in it was invented")
    loop_repeats: int = Field(5, ge=3, description="the same words so often in a row are a loop of the decoder")
    no_speech_probability: float = Field(0.6, ge=0, le=1, description="above it, and below the next, nobody spoke")
    mean_log_probability: float = Field(-1.0, le=0, description="of a segment's tokens; Whisper's own threshold")
    compression_ratio: float = Field(2.4, gt=1, description="text that zlib shrinks further is a loop; Whisper's own")


class GatewaySettings(Section):
    """The REST API and the pages."""

    host: str = "127.0.0.1"
    port: int = Field(8000, ge=0, le=65535)
    session_secret: SecretStr | None = Field(
        None, description="signs the pages' sessions; the same for all replicas; empty: one made in the data folder"
    )
    session_hours: float = Field(12, gt=0, description="a sign-in lasts a working day")
    time_zone: str = Field(
        "Asia/Shanghai", description="IANA zone of times on the pages and of times given without one"
    )
    page_size: int = Field(30, ge=1, le=100, description="documents a page")
    requests_per_minute: int = Field(
        1200, ge=1, description="of a key in the long run, unless it has a limit of its own"
    )
    burst: int = Field(200, ge=1, description="requests of a key that may come at once")
    body_limit_bytes: int = Field(
        2**20, ge=2**10, description="largest request body; /v1/analyze takes 100,000 characters"
    )
    analyze_timeout_s: float = Field(60, gt=0, description="wait for the language model's answer to POST /v1/analyze")
    dependency_timeout_s: float = Field(2, gt=0, description="wait for each dependency that /readyz asks")
    shutdown_s: int = Field(20, ge=1, description="time that requests under way have to finish after SIGTERM")
    events_poll_s: float = Field(1, gt=0, description="how often a stream of live events looks for new ones")
    events_days: float = Field(7, gt=0, description="for so long a stream that was cut off can be resumed")
    streams: int = Field(100, ge=1, description="streams of live events a process")
    exports: int = Field(2, ge=1, description="exports written at the same time; each holds a database connection")
    export_s: float = Field(
        3600, gt=0, description="after this an export is cut off, so that a reader who stopped reading holds up nobody"
    )
    match_limit: int = Field(20_000, ge=1, description="latest documents in which a new company is looked for")


class EmbeddedSettings(Section):
    """The services that `yuqing up` starts; the usual ports, replaced by free ones when they are taken."""

    postgres_port: int = Field(5433, ge=1024, le=65535)
    s3_port: int = Field(8333, ge=1024, le=65535)
    llm_port: int = Field(8001, ge=1024, le=65535)
    start_timeout_s: float = Field(60, gt=0)
    llm_start_timeout_s: float = Field(600, gt=0, description="loading weights and warming up takes 70-90 s on 2 cores")
    stop_timeout_s: float = Field(20, gt=0)


class TelemetrySettings(Section):
    """Logs and metrics."""

    level: str = Field("info", pattern="^(debug|info|warning|error)$")
    json_logs: bool | None = Field(None, description="empty: JSON unless standard error is a terminal")
    metrics_port: int | None = Field(None, ge=1, le=65535, description="Prometheus metrics of long-running processes")


class RetentionSettings(Section):
    """After how many days `yuqing retention` deletes; empty: never. raw/ and quarantine/ hold pages with personal data unmasked."""

    raw_days: int | None = Field(None, ge=1, description="raw batches, once the ledger says that they were cleaned")
    quarantine_days: int | None = Field(
        None, ge=1, description="what stages could not use; afterwards it cannot be replayed"
    )
    media_days: int | None = Field(
        None, ge=1, description="recordings, counted from the newest page that carries them; transcripts stay"
    )


class ModelSettings(Section):
    """Where model files come from."""

    folder: Path | None = Field(None, description="a local folder that holds model folders by name; tried first")
    hub: str | None = Field(None, description="base URL of a model hub; tried after the local folder")


class Settings(BaseSettings):
    """Everything that can be tuned."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True)

    data_dir: Path = Field(Path(".yuqing"), description="state of the embedded services")
    cache_dir: Path = Field(Path("~/.cache/yuqing"), description="model files and downloads")
    s3: S3Settings = S3Settings()
    database: DatabaseSettings = DatabaseSettings()
    jobs: JobSettings = JobSettings()
    llm: LLMSettings = LLMSettings()
    crawler: CrawlerSettings = CrawlerSettings()
    cleaning: CleaningSettings = CleaningSettings()
    asr: ASRSettings = ASRSettings()
    gateway: GatewaySettings = GatewaySettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    models: ModelSettings = ModelSettings()
    retention: RetentionSettings = RetentionSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of precedence: arguments, environment, secret files, yuqing.toml."""
        toml = TomlConfigSettingsSource(settings_cls, Path(os.environ.get("YUQING_CONFIG", "yuqing.toml")))
        return init_settings, env_settings, file_secret_settings, toml

    @property
    def state(self) -> Path:
        """The data folder as an absolute path."""
        return self.data_dir.expanduser().absolute()

    @property
    def cache(self) -> Path:
        """The cache folder as an absolute path."""
        return self.cache_dir.expanduser().absolute()


def setting_names(model: type[BaseModel] = Settings, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every setting as a dotted name, such as `s3.endpoint`."""
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, Section):
            yield from setting_names(annotation, (*path, name))
        else:
            yield ".".join((*path, name))


def _nearest(name: str) -> str:
    match = difflib.get_close_matches(name, list(setting_names()), n=1, cutoff=0.5)
    return (
        f"did you mean {match[0]} ({PREFIX}{match[0].replace('.', '__').upper()})?" if match else "see `yuqing doctor`"
    )


def check_environment(environment: Mapping[str, str]) -> None:
    """Refuse a `YUQING_*` variable that names no setting: a typing error must not be silent. Raises SettingsError."""
    known = {PREFIX + name.replace(".", "__").upper() for name in setting_names()} | BOOTSTRAP_VARIABLES
    sections = {PREFIX + name.upper() for name in Settings.model_fields}
    for variable in environment:
        if variable.startswith(PREFIX) and variable.upper() not in known | sections:
            name = variable.removeprefix(PREFIX).lower().replace("__", ".")
            raise SettingsError(f"{variable} names no setting", cure=_nearest(name))


def load_settings(**overrides: Any) -> Settings:
    """Read and check all sources. Raises SettingsError: the setting, the reason and the nearest valid name."""
    check_environment(os.environ)
    try:
        return Settings(**overrides, _secrets_dir=os.environ.get("YUQING_SECRETS_DIR"))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            raise SettingsError(f"{name} names no setting", cure=_nearest(name)) from None
        variable = PREFIX + name.replace(".", "__").upper()
        raise SettingsError(
            f"setting {name} is not valid: {problem['msg']}", cure=f"mend it in yuqing.toml or in {variable}"
        ) from None
    except ValueError as error:  # broken TOML
        raise SettingsError(f"yuqing.toml cannot be read: {error}", cure="mend the file") from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once."""
    return load_settings()
