"""What the operations take and give. Made by client/generate.py from the OpenAPI document: do not edit."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from yuqing_client.model import Model


class Activation(Model):
    """Which adapter is to be served."""

    reason: str
    adapter: str | None
    force: bool = False


class ActiveAdapter(Model):
    """What the servers are told to serve (None: the bare base), since when, and what was active before."""

    adapter: str | None
    previous: str | None
    can_roll_back: bool
    generation: int
    activated_at: datetime
    activated_by: str


class Adapters(Model):
    """`active` is None when none was ever activated: each server then serves what its settings say."""

    active: ActiveAdapter | None
    adapters: list[ListedAdapter]


class Analysis(Model):
    """Of a document as a whole. score = P(positive) - P(negative), in [-1, 1]; confidence in [0, 1]."""

    content_hash: str
    sentiment: Literal["positive", "neutral", "negative"]
    score: float
    confidence: float
    category: str
    summary: str
    keywords: list[str]
    lineage: StoredLineage


class AuditLine(Model):
    """One change: `action` is `resource.verb`, `subject` is `resource:id`."""

    id: int
    created_at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


class AuditPage(Model):
    """Newest first; `next_before` is None on the last page."""

    items: list[AuditLine]
    next_before: int | None


class Batch(Model):
    """How far a batch is: `answered` of `total` texts, and `failed` ones that cannot be analysed."""

    id: int
    state: Literal["waiting", "running", "done"]
    created_at: datetime
    finished_at: datetime | None
    total: int
    answered: int
    failed: int


class BatchAnswer(Model):
    """The answer to the text at `place` (from 0), or why there is none; neither while it waits."""

    place: int
    doc_id: str | None
    answer: dict[str, Any] | None
    problem: dict[str, Any] | None


class BatchAnswers(Model):
    """A page of answers in the order of the questions; `next_after` is None on the last page."""

    items: list[BatchAnswer]
    next_after: int | None


class ChangedCompany(Model):
    """What is to be different; what is not named stays. `query: null` takes the query away."""

    name: str | None = None
    aliases: list[str] | None = None
    exclude_words: list[str] | None = None
    query: str | None = None
    enabled: bool | None = None


class ChangedVerdict(Model):
    """What is to be shown instead of the model's words; what is not named stays as it is shown."""

    sentiment: Literal["positive", "neutral", "negative"] | None = None
    risk_level: int | None = None
    risk_types: (
        list[
            Literal[
                "产品质量", "财务", "法律合规", "劳资", "安全事故", "数据泄露", "高管", "市场竞争", "舆论危机", "其他"
            ]
        ]
        | None
    ) = None
    evidence: list[QuoteOf] | None = None
    reason: str


class Changes(Model):
    """A reprint beside its group's first document.

    `kept` is the share of the first text's characters whose sentences stand in the reprint, `added` the share of the reprint's
    characters whose sentences do not stand in the first text, both in [0, 1]. `edited`: the sentences that were kept are
    not the same to the letter, or in another order. `title`: the title is another one, punctuation and spaces aside."""

    title: bool
    kept: float
    added: float
    edited: bool


class Cleaning(Model):
    """The raw batches that are pending."""


class CompanyMention(Model):
    """A company of the team in a document; without sentiment until the model has judged it."""

    company_id: int
    company: str
    relevance: float
    sentiment: Literal["positive", "neutral", "negative"] | None
    risk_level: int | None
    confidence: float | None


class CompanySummary(Model):
    """A watched company with the numbers of its documents: by sentiment, mentioned in all, highest risk."""

    id: int
    name: str
    aliases: list[str]
    exclude_words: list[str]
    query: str | None
    enabled: bool
    created_at: datetime
    documents: int
    positive: int
    neutral: int
    negative: int
    highest_risk: int


class CompanyVerdict(Model):
    """Of one company in one document, as the team sees it. Without `grounded` the model named no sentence that exists.

    With `correction` an analyst has said so: the score is 1, 0 or -1 and the confidence 1; `lineage` is the model's."""

    company_id: int
    company: str
    content_hash: str
    sentiment: Literal["positive", "neutral", "negative"]
    score: float
    confidence: float
    risk_level: int
    risk_types: list[str]
    evidence: list[Quote]
    grounded: bool
    lineage: StoredLineage
    correction: CorrectionNote | None = None


class CorrectionNote(Model):
    """Who corrected a verdict and why; `version` counts the document's and company's corrections from 1."""

    version: int
    author: str
    reason: str
    created_at: datetime
    model: ModelVerdict


class CorrectionVersion(Model):
    """One step of a verdict's history; a `withdrawn` one gives the word back to the model."""

    version: int
    content_hash: str
    withdrawn: bool
    sentiment: Literal["positive", "neutral", "negative"]
    risk_level: int
    risk_types: list[str]
    evidence: list[Quote]
    reason: str
    author: str
    created_at: datetime
    replaced: dict[str, Any]


class Crawl(Model):
    """Which sites to crawl now."""

    sites: list[str] = []


class CrawlRun(Model):
    """A site's crawl. `state`: stopped by a signal, failed (nothing could be read), flagged, or ok."""

    run_id: str
    site: str
    state: Literal["ok", "flagged", "failed", "stopped"]
    started_at: datetime
    finished_at: datetime
    complete: bool
    found: int
    found_new: int
    new_articles: int
    via_browser: int
    pages: int
    media: int
    quarantined: int
    errors: int
    flags: list[Flag]


class CrawlRunDetail(Model):
    """A crawl with its whole report."""

    run_id: str
    site: str
    state: Literal["ok", "flagged", "failed", "stopped"]
    started_at: datetime
    finished_at: datetime
    complete: bool
    found: int
    found_new: int
    new_articles: int
    via_browser: int
    pages: int
    media: int
    quarantined: int
    errors: int
    flags: list[Flag]
    report: dict[str, Any]


class CrawlRunPage(Model):
    """Newest first; `next_before` is None on the last page."""

    items: list[CrawlRun]
    next_before: str | None


class DocumentDetail(Model):
    """A document's current version; offsets point into `text`.

    `group` lists it and its reprints, earliest first: the first GROUP_SHOWN and itself, of `group_total` in all."""

    doc_id: str
    content_hash: str
    version: int
    kind: str
    site: str
    source: str | None
    author: str | None
    url: str
    canonical_url: str
    parent_url: str | None
    title: str
    text: str
    language: str
    time: datetime
    published_at: datetime | None
    first_seen: datetime
    fetched_at: datetime
    group_id: str
    cleaning_version: str
    images: list[Image]
    segments: list[TimedLine]
    mentions: list[MentionSpan]
    analysis: Analysis | None
    verdicts: list[CompanyVerdict]
    recordings: list[Recording]
    group: list[GroupMember]
    group_total: int


class DocumentItem(Model):
    """A document in a list; `time` is its publication, or else when it was first seen."""

    doc_id: str
    kind: str
    site: str
    source: str | None
    title: str
    url: str
    time: datetime
    published_at: datetime | None
    first_seen: datetime
    group_id: str
    reprints: int
    sentiment: Literal["positive", "neutral", "negative"] | None
    category: str | None
    summary: str | None
    snippet: str
    companies: list[CompanyMention]


class DocumentJudgement(Model):
    """A document's analysis and its verdicts; without analysis until the model has read it."""

    doc_id: str
    analysis: Analysis | None
    verdicts: list[CompanyVerdict]


class DocumentPage(Model):
    """One page of a list; `next_cursor` is None on the last one."""

    items: list[DocumentItem]
    next_cursor: str | None


class Evidence(Model):
    """A quote copied from the text: characters [start, end) of it; for speech the second at which it was said."""

    quote: str
    start: int
    end: int
    start_s: float | None = None


class Families(Model):
    """The reprint families of the period."""

    since: datetime
    until: datetime
    families: list[Family]


class Family(Model):
    """A text with its reprints. `reach` is the sum of the weights of its sites, each once; `risk` is the highest."""

    group_id: str
    first: First
    documents: int
    sites: int
    reach: float
    latest: datetime
    hours: float
    risk: int | None


class First(Model):
    """The family's earliest document that the team may see."""

    doc_id: str
    title: str
    site: str
    source: str | None
    time: datetime


class Flag(Model):
    """What an operator should look at: `kind` for programs, `message` for people."""

    kind: str
    message: str


class GroupMember(Model):
    """A document of the same reprint group, and what it changed in the group's first document (None: it is the first).

    `source_line`: it names a source that the first document does not name."""

    doc_id: str
    title: str
    site: str
    source: str | None
    time: datetime
    is_first: bool
    changes: Changes | None
    source_line: bool


class Image(Model):
    """A picture of the article: its address at its site, and what the page says that it shows."""

    url: str
    alt: str


class Imported(Model):
    """What an import did."""

    created: int
    updated: int
    unchanged: int


class JobDetail(Model):
    """A job with its events, the first one first."""

    id: int
    queue: str
    task: str
    status: Literal["todo", "doing", "failed", "cancelled", "succeeded", "aborted"]
    priority: int
    attempts: int
    arguments: dict[str, Any]
    deferred_at: datetime | None
    scheduled_at: datetime | None
    changed_at: datetime | None
    events: list[JobEvent]


class JobEvent(Model):
    """What happened to a job, in procrastinate's words, and when."""

    kind: str
    at: datetime


class JobPage(Model):
    """Newest first; `next_before` is None on the last page."""

    items: list[ListedJob]
    next_before: int | None


class KeyToMake(Model):
    """A key for a person or a program of the team."""

    name: str
    scope: Literal["viewer", "analyst", "operator", "admin"] = "viewer"
    days: int | None = None
    requests_per_minute: int | None = None


class Keyword(Model):
    """A keyword of the analyses: in how many documents, how many with a negative verdict, how many the period before."""

    keyword: str
    documents: int
    negative: int
    before: int


class Keywords(Model):
    """The keywords of the period."""

    since: datetime
    until: datetime
    keywords: list[Keyword]


class Lineage(Model):
    """How an analysis came to be: enough to make it again."""

    engine: str
    model: str
    adapter: str | None = None
    prompt_version: str
    cleaning_version: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latency_ms: int = 0


class ListedAdapter(Model):
    """An adapter: what it was trained on and how well it did, as its card says; `problem` in place of an unreadable card."""

    name: str
    is_active: bool
    sha256: str | None
    base: str | None
    prompt_version: str | None
    metrics: dict[str, Any]
    problem: str | None


class ListedJob(Model):
    """A job; `arguments` name documents, recordings and companies by id."""

    id: int
    queue: str
    task: str
    status: Literal["todo", "doing", "failed", "cancelled", "succeeded", "aborted"]
    priority: int
    attempts: int
    arguments: dict[str, Any]
    deferred_at: datetime | None
    scheduled_at: datetime | None
    changed_at: datetime | None


class ListedKey(Model):
    """A key as its team's administrators see it; the key itself was shown once."""

    id: int
    prefix: str
    name: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    requests_per_minute: int | None


class ListedVerdict(Model):
    """A verdict in a company's list, with the document that it is about."""

    doc_id: str
    title: str
    site: str
    time: datetime
    verdict: CompanyVerdict


class MadeKey(Model):
    """A key just made; `key` is shown this once."""

    id: int
    prefix: str
    name: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    requests_per_minute: int | None
    key: str


class MentionSpan(Model):
    """A place where a company's name stands: characters [start, end) of the title or the text."""

    company_id: int
    company: str
    field: str
    start: int
    end: int
    name: str


class ModelVerdict(Model):
    """What the model had said before an analyst corrected it."""

    sentiment: Literal["positive", "neutral", "negative"]
    score: float
    confidence: float
    risk_level: int
    risk_types: list[str]
    evidence: list[Quote]
    grounded: bool


class NewBatch(Model):
    """Texts and documents to analyse by a job."""

    items: list[Question]


class NewCompany(Model):
    """A company, brand or person to watch: its names, and the words in which a name means something else."""

    name: str
    aliases: list[str] = []
    exclude_words: list[str] = []
    query: str | None = None


class OwnKey(Model):
    """The key of the request itself."""

    id: int
    prefix: str
    name: str
    team: str
    scope: Literal["viewer", "analyst", "operator", "admin"]


class PlainTranscript(Model):
    """`response_format=json`."""

    text: str


class Point(Model):
    """One hour, day or week, from `time` on."""

    time: datetime
    tally: Tally


class Preview(Model):
    """`documents` match of the last `days`; `is_complete` is false when only the latest `read` candidates were looked at."""

    days: int
    read: int
    documents: int
    is_complete: bool
    samples: list[Sample]


class ProblemDocument(Model):
    """RFC 9457. `type` names the kind of problem for programs; `detail` and `cure` are for people."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    cure: str | None = None
    errors: list[ProblemError] | None = None


class ProblemError(Model):
    """One thing that is wrong with a request."""

    location: str
    reason: str


class QuarantinePage(Model):
    """The newest day first; `next_before` is None on the last page. `stages` are those that have anything."""

    stages: list[str]
    items: list[Quarantined]
    next_before: str | None


class Quarantined(Model):
    """An object of quarantine. `records` counts those that were looked at: all of them if `is_complete`."""

    key: str
    stage: str
    day: str
    batch: str
    bytes: int
    modified: datetime
    is_replayable: bool
    records: int
    is_complete: bool
    reasons: list[Reason]


class QuarantinedBatch(Model):
    """An object with some of its records; `next_offset` is None at its end."""

    key: str
    stage: str
    day: str
    batch: str
    bytes: int
    modified: datetime
    is_replayable: bool
    records: int
    is_complete: bool
    reasons: list[Reason]
    items: list[QuarantinedRecord]
    next_offset: int | None


class QuarantinedRecord(Model):
    """A record: its place in the object, the reason, and what was kept, of which long texts (`cut`) are shortened."""

    place: int
    reason: str
    kept: dict[str, Any]
    cut: list[str]


class Question(Model):
    """A text to analyse, or the id of a stored document; and the companies to judge in it."""

    title: str = ""
    text: str = ""
    companies: list[str] = []
    doc_id: str | None = None


class QueueState(Model):
    """A queue's jobs: `oldest_s` is the age of the job that has waited longest; `stalled` ones have lost their worker."""

    name: str
    waiting: int
    running: int
    failed: int
    cancelled: int
    stalled: int
    oldest_s: float | None


class Queues(Model):
    """All queues; `workers` have shown a sign of life within the heartbeat's time."""

    queues: list[QueueState]
    workers: int


class Quote(Model):
    """Characters [start, end) of the text of the version that was judged; for speech, the second."""

    quote: str
    start: int
    end: int
    start_s: float | None = None


class QuoteOf(Model):
    """A quote from the document's text; without `start` the first place where it stands."""

    quote: str
    start: int | None = None


class Reason(Model):
    """Why records were refused, and how many for it."""

    reason: str
    records: int


class Recording(Model):
    """A document's recording; without lines until it has been transcribed."""

    sha256: str
    content_type: str
    bytes: int
    url: str
    duration_s: float | None
    model: str | None
    lines: list[SpokenLine]


class Replay(Model):
    """What is to be tried again: keys as the list has them."""

    keys: list[str]


class Replayed(Model):
    """What a replay began: a run of the cleaning (`started`), and recordings that wait for the speech worker again."""

    started: list[Task]
    recordings: int


class Rollback(Model):
    """Back to the adapter before."""

    reason: str


class Rotation(Model):
    """How a key is replaced by a new one."""

    hours: float = 24


class Sample(Model):
    """A document that matches, with the words that made it match."""

    doc_id: str
    title: str
    site: str
    time: datetime
    words: list[str]


class Series(Model):
    """A point for each interval, also the empty ones. `key` is what was grouped by: a company's id, a site, a category."""

    key: str | None
    name: str | None
    total: Tally
    points: list[Point]


class SiteDay(Model):
    """What a site's crawls of the last 24 hours brought together."""

    runs: int
    new_articles: int
    errors: int
    quarantined: int


class SiteHealth(Model):
    """A site: `state` and why. broken: its file cannot be read; failed: its last crawl read nothing; late: it was not
    crawled at its last two times; flagged: its last crawl says that somebody should look; never: not crawled yet."""

    name: str
    state: Literal["broken", "failed", "late", "flagged", "never", "ok"]
    reason: str
    title: str
    media_type: str | None
    weight: float | None
    schedule: str | None
    verified: str | None
    last: CrawlRun | None
    day: SiteDay | None


class Source(Model):
    """A medium: `name` is a site, or what the pages name as their source."""

    name: str
    weight: float | None
    share: float
    tally: Tally


class Sources(Model):
    """The media of the period."""

    since: datetime
    until: datetime
    sources: list[Source]


class SpokenLine(Model):
    """Words and the seconds at which they were said."""

    start: float
    end: float
    text: str


class SpokenSegment(Model):
    """Seconds from the recording's start, and what was said."""

    id: int
    start: float
    end: float
    text: str


class SpokenWord(Model):
    """A word (of Chinese: one or a few characters) and its seconds."""

    word: str
    start: float
    end: float


class Spread(Model):
    """A family's way through the media in order of time; `half_reach_hours`: when it had half of its reach."""

    group_id: str
    documents: int
    sites: int
    reach: float
    half_reach_hours: float
    steps: list[Step]


class Step(Model):
    """A document of a family: when it came after the first, and the reach up to it."""

    doc_id: str
    title: str
    site: str
    source: str | None
    time: datetime
    hours_after: float
    weight: float
    reach: float


class StoredLineage(Model):
    """How an analysis came to be; `inherited_from` is the earlier document whose analysis this reprint took over."""

    engine: str
    model: str
    adapter: str | None
    prompt_version: str
    cleaning_version: str
    prompt_tokens: int
    completion_tokens: int
    latency_ms: int
    created_at: datetime
    inherited_from: str | None


class Tally(Model):
    """Documents of a stretch of coverage, and the verdicts shown on them; a document may have several.

    Shares are of the verdicts, None where there is none; `risk` counts verdicts by level 0 to 4."""

    documents: int
    positive: int
    neutral: int
    negative: int
    risk: list[int]


class Task(Model):
    """A run of a stage: a Job of the cluster, or a process of this machine. Who started it stands in the audit log.

    `unknown`: a process whose gateway ended before it did."""

    stage: Literal["crawl", "clean"]
    name: str
    kind: Literal["job", "process"]
    state: Literal["running", "succeeded", "failed", "unknown"]
    started_at: datetime | None


class TaskDetail(Model):
    """A run with the end of what it wrote; None when that is gone."""

    stage: Literal["crawl", "clean"]
    name: str
    kind: Literal["job", "process"]
    state: Literal["running", "succeeded", "failed", "unknown"]
    started_at: datetime | None
    log: str | None


class TextAnalysis(Model):
    """The answer. Documents keep the verdicts that they have."""

    sentiment: Literal["positive", "neutral", "negative"]
    score: float
    confidence: float
    category: str
    summary: str
    keywords: list[str]
    verdicts: list[TextVerdict]
    lineage: Lineage


class TextVerdict(Model):
    """The verdict on one company; offsets of the evidence point into the text that was sent."""

    company: str
    sentiment: Literal["positive", "neutral", "negative"]
    score: float
    confidence: float
    risk_level: int
    risk_types: list[str]
    evidence: list[Evidence]
    grounded: bool


class TimedLine(Model):
    """Characters [start, end) of a transcript's text and the seconds at which they were said."""

    start: int
    end: int
    start_s: float
    end_s: float


class Transcription(Model):
    """A recording and how far its transcription is; `name` and `uploaded_at` where the team has uploaded it."""

    sha256: str
    content_type: str
    bytes: int
    name: str | None
    uploaded_at: datetime | None
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    duration_s: float | None
    language: str | None
    model: str | None


class TranscriptionPage(Model):
    """Newest first; `next_before` is None on the last page."""

    items: list[Transcription]
    next_before: int | None


class TranscriptionState(Model):
    """Also why there will be no text, and the text as far as it is there."""

    sha256: str
    content_type: str
    bytes: int
    name: str | None
    uploaded_at: datetime | None
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    duration_s: float | None
    language: str | None
    model: str | None
    error: str | None
    text: str | None


class Trend(Model):
    """`series` has one entry, or one for each company, site or category."""

    since: datetime
    until: datetime
    interval: Literal["hour", "day", "week"]
    series: list[Series]


class Usage(Model):
    """The team's companies since a day, and the tokens that all teams' documents took today beside the day's budget (0: none)."""

    since: str
    items: list[UsageLine]
    tokens: int
    today: int
    budget: int


class UsageLine(Model):
    """The verdicts on a company that were made on a UTC day: how many in all, by triage alone, taken over from a reprint's
    original, and the company's share of the tokens (those of a document are shared by its companies)."""

    day: str
    company_id: int
    company: str
    verdicts: int
    by_triage: int
    inherited: int
    tokens: int


class VerboseTranscript(Model):
    """`response_format=verbose_json`; `words` when they were asked for."""

    task: Literal["transcribe"]
    language: str
    duration: float
    text: str
    segments: list[SpokenSegment]
    words: list[SpokenWord] | None
    model: str


class VerdictPage(Model):
    """One page of a company's verdicts; `next_cursor` is None on the last one."""

    items: list[ListedVerdict]
    next_cursor: str | None


class Voice(Model):
    """A company's part of the coverage. `reach` is the sum of the media's weights, document by document."""

    company_id: int
    company: str
    share: float
    reach: float
    reach_share: float
    tally: Tally


class Voices(Model):
    """The companies that were mentioned in the period."""

    since: datetime
    until: datetime
    companies: list[Voice]


class Withdrawal(Model):
    """Why a correction is taken back."""

    reason: str
