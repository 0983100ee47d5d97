"""A method an operation. Made by client/generate.py from the OpenAPI document: do not edit."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Literal
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter

from yuqing_client import models
from yuqing_client.transport import Event, Transport


def _segment(value: object) -> str:
    return quote(str(value), safe="")


class Yuqing(Transport):
    """The API: `with Yuqing(url, key) as api`. Every method raises ApiError."""

    def export_companies(self) -> AbstractContextManager[httpx.Response]:
        """The watchlist as CSV

        As `POST /v1/companies/import` reads it; the words of a list are apart by semicolons.

        A file: `with` this call `as answer`, then `answer.iter_bytes()` or `answer.iter_lines()`."""
        return self._open("GET", "/v1/companies/export", query={}, headers={})

    def import_companies(self, body: str | bytes) -> models.Imported:
        """Add and change companies by a CSV file

        A company of a name that is watched is changed, others are added, none is removed. All lines or none."""
        found: models.Imported = self._call(
            "POST",
            "/v1/companies/import",
            {200: TypeAdapter(models.Imported)},
            query={},
            headers={},
            content=body,
            media_type="text/csv",
        )
        return found

    def preview_company(self, body: models.NewCompany) -> models.Preview:
        """What a company would find in the last 30 days

        Nothing is stored. An edited company is previewed in the same way; what it finds now is not counted twice."""
        found: models.Preview = self._call(
            "POST", "/v1/companies/preview", {200: TypeAdapter(models.Preview)}, query={}, headers={}, json_body=body
        )
        return found

    def list_companies(self) -> list[models.CompanySummary]:
        """The team's watchlist with the numbers of its documents

        Those with the most negative documents first."""
        found: list[models.CompanySummary] = self._call(
            "GET", "/v1/companies", {200: TypeAdapter(list[models.CompanySummary])}, query={}, headers={}
        )
        return found

    def create_company(self, body: models.NewCompany) -> models.CompanySummary:
        """Watch a company

        It is matched against the documents that exist in the background, within seconds."""
        found: models.CompanySummary = self._call(
            "POST",
            "/v1/companies",
            {201: TypeAdapter(models.CompanySummary)},
            query={},
            headers={},
            json_body=body,
            once=True,
        )
        return found

    def read_company(self, company_id: int) -> models.CompanySummary:
        """One company

        404 for another team's. `ETag` names what can be edited of it, not its numbers."""
        found: models.CompanySummary = self._call(
            "GET",
            f"/v1/companies/{_segment(company_id)}",
            {200: TypeAdapter(models.CompanySummary)},
            query={},
            headers={},
        )
        return found

    def update_company(self, company_id: int, body: models.ChangedCompany, *, if_match: str) -> models.CompanySummary:
        """Edit a company, or switch it off

        `If-Match` has to carry its ETag. The documents are matched again in the background, within seconds."""
        found: models.CompanySummary = self._call(
            "PATCH",
            f"/v1/companies/{_segment(company_id)}",
            {200: TypeAdapter(models.CompanySummary)},
            query={},
            headers={"If-Match": if_match},
            json_body=body,
        )
        return found

    def export_documents(
        self,
        *,
        format: Literal["csv", "xlsx", "jsonl"] | None = None,
        text: bool | None = None,
        company: int | None = None,
        sentiment: Literal["positive", "neutral", "negative"] | None = None,
        risk: int | None = None,
        site: str | None = None,
        source: str | None = None,
        kind: Literal["page", "feed_entry", "transcript"] | None = None,
        category: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        q: str | None = None,
        collapse: bool | None = None,
        sort: Literal["time", "relevance", "risk"] | None = None,
    ) -> AbstractContextManager[httpx.Response]:
        """The list of documents as CSV, XLSX or JSON lines

        A row for each company in each document that fits, newest first; all filters of the list of documents apply.

        The file is sent while it is read. 503 when the gateway is writing as many as it may.

        A file: `with` this call `as answer`, then `answer.iter_bytes()` or `answer.iter_lines()`."""
        return self._open(
            "GET",
            "/v1/documents/export",
            query={
                "format": format,
                "text": text,
                "company": company,
                "sentiment": sentiment,
                "risk": risk,
                "site": site,
                "source": source,
                "kind": kind,
                "category": category,
                "since": since,
                "until": until,
                "q": q,
                "collapse": collapse,
                "sort": sort,
            },
            headers={},
        )

    def list_documents(
        self,
        *,
        company: int | None = None,
        sentiment: Literal["positive", "neutral", "negative"] | None = None,
        risk: int | None = None,
        site: str | None = None,
        source: str | None = None,
        kind: Literal["page", "feed_entry", "transcript"] | None = None,
        category: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        q: str | None = None,
        collapse: bool | None = None,
        sort: Literal["time", "relevance", "risk"] | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> models.DocumentPage:
        """Documents that mention the team's companies

        Newest first, unless `sort` says otherwise. Sentiment, risk and company have to hold of one and the same verdict."""
        found: models.DocumentPage = self._call(
            "GET",
            "/v1/documents",
            {200: TypeAdapter(models.DocumentPage)},
            query={
                "company": company,
                "sentiment": sentiment,
                "risk": risk,
                "site": site,
                "source": source,
                "kind": kind,
                "category": category,
                "since": since,
                "until": until,
                "q": q,
                "collapse": collapse,
                "sort": sort,
                "cursor": cursor,
                "limit": limit,
            },
            headers={},
        )
        return found

    def search_documents(
        self,
        *,
        company: int | None = None,
        sentiment: Literal["positive", "neutral", "negative"] | None = None,
        risk: int | None = None,
        site: str | None = None,
        source: str | None = None,
        kind: Literal["page", "feed_entry", "transcript"] | None = None,
        category: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        q: str | None = None,
        collapse: bool | None = None,
        sort: Literal["time", "relevance", "risk"] | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> models.DocumentPage:
        """Documents that hold all words of a query

        `q` is required; all filters of the list of documents may be added. Newest first."""
        found: models.DocumentPage = self._call(
            "GET",
            "/v1/search",
            {200: TypeAdapter(models.DocumentPage)},
            query={
                "company": company,
                "sentiment": sentiment,
                "risk": risk,
                "site": site,
                "source": source,
                "kind": kind,
                "category": category,
                "since": since,
                "until": until,
                "q": q,
                "collapse": collapse,
                "sort": sort,
                "cursor": cursor,
                "limit": limit,
            },
            headers={},
        )
        return found

    def read_document(self, doc_id: str) -> models.DocumentDetail:
        """One document with all that is known of it

        Text, images, mentions, analysis, verdicts with evidence, recordings with transcripts, reprint group with its changes."""
        found: models.DocumentDetail = self._call(
            "GET", f"/v1/documents/{_segment(doc_id)}", {200: TypeAdapter(models.DocumentDetail)}, query={}, headers={}
        )
        return found

    def stream_events(
        self, *, company: int | None = None, wait: float | None = None, last_event_id: str | None = None
    ) -> Iterator[Event]:
        """New documents and verdicts as they come

        `event` is `document` or `verdict`; `data` is JSON. With `Last-Event-ID` nothing since then is missed (for a week)."""
        return self._events(
            "/v1/events", query={"company": company, "wait": wait}, headers={"last-event-id": last_event_id}
        )

    def read_analysis(self, doc_id: str) -> models.DocumentJudgement:
        """A document's analysis and verdicts, with lineage

        `analysis` is null until the model has read the document."""
        found: models.DocumentJudgement = self._call(
            "GET",
            f"/v1/documents/{_segment(doc_id)}/analysis",
            {200: TypeAdapter(models.DocumentJudgement)},
            query={},
            headers={},
        )
        return found

    def list_verdicts(
        self,
        company_id: int,
        *,
        sentiment: Literal["positive", "neutral", "negative"] | None = None,
        risk: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> models.VerdictPage:
        """Verdicts on a company by period

        Newest document first."""
        found: models.VerdictPage = self._call(
            "GET",
            f"/v1/companies/{_segment(company_id)}/verdicts",
            {200: TypeAdapter(models.VerdictPage)},
            query={
                "sentiment": sentiment,
                "risk": risk,
                "since": since,
                "until": until,
                "cursor": cursor,
                "limit": limit,
            },
            headers={},
        )
        return found

    def read_verdict(self, doc_id: str, company_id: int) -> models.CompanyVerdict:
        """The verdict on one company, with its ETag

        As the team sees it: with its last correction, if an analyst has made one."""
        found: models.CompanyVerdict = self._call(
            "GET",
            f"/v1/documents/{_segment(doc_id)}/verdicts/{_segment(company_id)}",
            {200: TypeAdapter(models.CompanyVerdict)},
            query={},
            headers={},
        )
        return found

    def correct_verdict(
        self, doc_id: str, company_id: int, body: models.ChangedVerdict, *, if_match: str
    ) -> models.CompanyVerdict:
        """Correct a verdict

        `If-Match` has to carry the verdict's ETag. Lists, the document and trends show the change at once."""
        found: models.CompanyVerdict = self._call(
            "PATCH",
            f"/v1/documents/{_segment(doc_id)}/verdicts/{_segment(company_id)}",
            {200: TypeAdapter(models.CompanyVerdict)},
            query={},
            headers={"If-Match": if_match},
            json_body=body,
        )
        return found

    def withdraw_correction(
        self, doc_id: str, company_id: int, body: models.Withdrawal, *, if_match: str
    ) -> models.CompanyVerdict:
        """Take a correction back

        The model's own verdict is shown again; all versions stay in the history. `If-Match` as for a correction."""
        found: models.CompanyVerdict = self._call(
            "POST",
            f"/v1/documents/{_segment(doc_id)}/verdicts/{_segment(company_id)}/withdrawal",
            {200: TypeAdapter(models.CompanyVerdict)},
            query={},
            headers={"If-Match": if_match},
            json_body=body,
            once=True,
        )
        return found

    def read_verdict_history(self, doc_id: str, company_id: int) -> list[models.CorrectionVersion]:
        """All corrections of a verdict

        The first first; `replaced` is what was shown before, with the model's lineage. 404 when it was never judged."""
        found: list[models.CorrectionVersion] = self._call(
            "GET",
            f"/v1/documents/{_segment(doc_id)}/verdicts/{_segment(company_id)}/history",
            {200: TypeAdapter(list[models.CorrectionVersion])},
            query={},
            headers={},
        )
        return found

    def export_corrections(self, *, since: datetime | None = None) -> AbstractContextManager[httpx.Response]:
        """The team's corrections as training data (JSON lines)

        One example a line: the text that was judged, what the analyst says, and what was shown before. 503 as for documents.

        A file: `with` this call `as answer`, then `answer.iter_bytes()` or `answer.iter_lines()`."""
        return self._open("GET", "/v1/corrections", query={"since": since}, headers={})

    def read_volume(
        self,
        *,
        interval: Literal["hour", "day", "week"] | None = None,
        by: Literal["company", "site", "category"] | None = None,
        top: int | None = None,
        company: int | None = None,
        site: str | None = None,
        category: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> models.Trend:
        """Documents, sentiment and risk by hour, day or week

        A point for each interval, also the empty ones. Of the last two days, 30 days or 26 weeks unless told."""
        found: models.Trend = self._call(
            "GET",
            "/v1/trends/volume",
            {200: TypeAdapter(models.Trend)},
            query={
                "interval": interval,
                "by": by,
                "top": top,
                "company": company,
                "site": site,
                "category": category,
                "since": since,
                "until": until,
            },
            headers={},
        )
        return found

    def read_share_of_voice(
        self,
        *,
        company: int | None = None,
        site: str | None = None,
        category: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> models.Voices:
        """The team's companies compared

        Share of all mentions in the period (the last 30 days unless told), by number and by the weight of the media."""
        found: models.Voices = self._call(
            "GET",
            "/v1/trends/share-of-voice",
            {200: TypeAdapter(models.Voices)},
            query={"company": company, "site": site, "category": category, "since": since, "until": until},
            headers={},
        )
        return found

    def read_sources(
        self,
        *,
        by: Literal["site", "source"] | None = None,
        top: int | None = None,
        company: int | None = None,
        site: str | None = None,
        category: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> models.Sources:
        """The media with the most documents

        Of the last 30 days unless told."""
        found: models.Sources = self._call(
            "GET",
            "/v1/trends/sources",
            {200: TypeAdapter(models.Sources)},
            query={
                "by": by,
                "top": top,
                "company": company,
                "site": site,
                "category": category,
                "since": since,
                "until": until,
            },
            headers={},
        )
        return found

    def read_keywords(
        self,
        *,
        top: int | None = None,
        company: int | None = None,
        site: str | None = None,
        category: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> models.Keywords:
        """What the documents are about

        The analyses' keywords, with their number in the period of the same length before. The last 30 days unless told."""
        found: models.Keywords = self._call(
            "GET",
            "/v1/trends/keywords",
            {200: TypeAdapter(models.Keywords)},
            query={"top": top, "company": company, "site": site, "category": category, "since": since, "until": until},
            headers={},
        )
        return found

    def list_families(
        self,
        *,
        top: int | None = None,
        company: int | None = None,
        site: str | None = None,
        category: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> models.Families:
        """The texts that were reprinted most widely

        By reach: the sum of the weights of the sites that carry the text. The last 30 days unless told."""
        found: models.Families = self._call(
            "GET",
            "/v1/trends/families",
            {200: TypeAdapter(models.Families)},
            query={"top": top, "company": company, "site": site, "category": category, "since": since, "until": until},
            headers={},
        )
        return found

    def read_spread(self, doc_id: str) -> models.Spread:
        """How a text spread: its reprints in time

        The first 500 documents of its reprint family, from the first source on, with the reach up to each."""
        found: models.Spread = self._call(
            "GET", f"/v1/documents/{_segment(doc_id)}/spread", {200: TypeAdapter(models.Spread)}, query={}, headers={}
        )
        return found

    def read_media(self, sha256: str) -> AbstractContextManager[httpx.Response]:
        """A recording's bytes

        Honours `Range: bytes=`, so that players can jump.

        A file: `with` this call `as answer`, then `answer.iter_bytes()` or `answer.iter_lines()`."""
        return self._open("GET", f"/v1/media/{_segment(sha256)}/content", query={}, headers={})

    def create_transcription(
        self,
        file: Any,
        *,
        wait: float | None = None,
        model: str | None = None,
        language: str | None | None = None,
        response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] | None = None,
        temperature: float | None = None,
        timestamp_granularities: list[Literal["segment", "word"]] | None = None,
        stream: Literal["false", "False"] | None = None,
    ) -> models.PlainTranscript | models.VerboseTranscript | models.TranscriptionState | str:
        """Transcribe a recording

        Audio or video. The answer has OpenAI's shape, so that its clients work; 202 when the transcript takes longer than `wait`.

        The recording is the team's. Sent again, it is neither stored nor transcribed twice."""
        found: models.PlainTranscript | models.VerboseTranscript | models.TranscriptionState | str = self._call(
            "POST",
            "/v1/audio/transcriptions",
            {
                200: TypeAdapter(models.PlainTranscript | models.VerboseTranscript),
                202: TypeAdapter(models.TranscriptionState),
            },
            query={"wait": wait},
            headers={},
            file=file,
            fields={
                "model": model,
                "language": language,
                "response_format": response_format,
                "temperature": temperature,
                "timestamp_granularities[]": timestamp_granularities,
                "stream": stream,
            },
        )
        return found

    def list_transcriptions(self, *, before: int | None = None, limit: int | None = None) -> models.TranscriptionPage:
        """The recordings that the team uploaded

        Newest first."""
        found: models.TranscriptionPage = self._call(
            "GET",
            "/v1/transcriptions",
            {200: TypeAdapter(models.TranscriptionPage)},
            query={"before": before, "limit": limit},
            headers={},
        )
        return found

    def read_transcription(self, sha256: str) -> models.TranscriptionState:
        """How far a recording is

        An upload of the team's, or a recording that stands in one of its documents."""
        found: models.TranscriptionState = self._call(
            "GET",
            f"/v1/transcriptions/{_segment(sha256)}",
            {200: TypeAdapter(models.TranscriptionState)},
            query={},
            headers={},
        )
        return found

    def read_transcript(
        self, sha256: str, *, response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] | None = None
    ) -> models.PlainTranscript | models.VerboseTranscript | str:
        """A recording's transcript

        Of an upload of the team's, or of a recording that stands in one of its documents."""
        found: models.PlainTranscript | models.VerboseTranscript | str = self._call(
            "GET",
            f"/v1/transcriptions/{_segment(sha256)}/content",
            {200: TypeAdapter(models.PlainTranscript | models.VerboseTranscript)},
            query={"response_format": response_format},
            headers={},
        )
        return found

    def analyze_text(self, body: models.Question) -> models.TextAnalysis:
        """Analyse a text or a stored document now

        One call to the language model; 503 when it is away. Nothing of it is stored."""
        found: models.TextAnalysis = self._call(
            "POST",
            "/v1/analyze",
            {200: TypeAdapter(models.TextAnalysis)},
            query={},
            headers={},
            json_body=body,
            once=True,
        )
        return found

    def create_batch(self, body: models.NewBatch) -> models.Batch:
        """Have many texts analysed by a job

        Texts and answers are kept for `YUQING_GATEWAY__ANALYSES_DAYS`. `Location` tells how far it is."""
        found: models.Batch = self._call(
            "POST",
            "/v1/analyze/batches",
            {202: TypeAdapter(models.Batch)},
            query={},
            headers={},
            json_body=body,
            once=True,
        )
        return found

    def list_batches(self, *, limit: int | None = None) -> list[models.Batch]:
        """The team's batches, newest first

        The latest ones that are kept."""
        found: list[models.Batch] = self._call(
            "GET", "/v1/analyze/batches", {200: TypeAdapter(list[models.Batch])}, query={"limit": limit}, headers={}
        )
        return found

    def read_batch(self, batch_id: int) -> models.Batch:
        """How far a batch is

        404 for another team's."""
        found: models.Batch = self._call(
            "GET", f"/v1/analyze/batches/{_segment(batch_id)}", {200: TypeAdapter(models.Batch)}, query={}, headers={}
        )
        return found

    def delete_batch(self, batch_id: int) -> None:
        """Forget a batch and its texts

        What of it is not answered yet will not be."""
        self._call("DELETE", f"/v1/analyze/batches/{_segment(batch_id)}", {}, query={}, headers={})

    def read_batch_answers(
        self, batch_id: int, *, after: int | None = None, limit: int | None = None
    ) -> models.BatchAnswers:
        """A batch's answers

        In the order of the questions; those that are not answered yet have neither `answer` nor `problem`."""
        found: models.BatchAnswers = self._call(
            "GET",
            f"/v1/analyze/batches/{_segment(batch_id)}/answers",
            {200: TypeAdapter(models.BatchAnswers)},
            query={"after": after, "limit": limit},
            headers={},
        )
        return found

    def read_own_key(self) -> models.OwnKey:
        """Whose key this is and what it may

        Also the cheapest way to see whether a key works."""
        found: models.OwnKey = self._call(
            "GET", "/v1/keys/current", {200: TypeAdapter(models.OwnKey)}, query={}, headers={}
        )
        return found

    def list_keys(self, *, prefix: str | None = None) -> list[models.ListedKey]:
        """The team's keys

        Newest first, with their last use to the minute; `prefix` finds the one whose first characters are known."""
        found: list[models.ListedKey] = self._call(
            "GET", "/v1/keys", {200: TypeAdapter(list[models.ListedKey])}, query={"prefix": prefix}, headers={}
        )
        return found

    def create_key(self, body: models.KeyToMake) -> models.MadeKey:
        """Make a key; it is shown this once

        Only its SHA-256 is kept."""
        found: models.MadeKey = self._call(
            "POST", "/v1/keys", {201: TypeAdapter(models.MadeKey)}, query={}, headers={}, json_body=body, once=True
        )
        return found

    def read_key(self, key_id: int) -> models.ListedKey:
        """One key

        404 for another team's."""
        found: models.ListedKey = self._call(
            "GET", f"/v1/keys/{_segment(key_id)}", {200: TypeAdapter(models.ListedKey)}, query={}, headers={}
        )
        return found

    def revoke_key(self, key_id: int) -> None:
        """Revoke a key

        With the sessions that were opened with it, at once; other gateways of the same database learn of it within seconds."""
        self._call("DELETE", f"/v1/keys/{_segment(key_id)}", {}, query={}, headers={})

    def rotate_key(self, key_id: int, body: models.Rotation) -> models.MadeKey:
        """Replace a key by a new one

        Same name, scope, limit and length of life. 404 when the old one is not valid any more, 409 when it was replaced."""
        found: models.MadeKey = self._call(
            "POST",
            f"/v1/keys/{_segment(key_id)}/rotation",
            {201: TypeAdapter(models.MadeKey)},
            query={},
            headers={},
            json_body=body,
            once=True,
        )
        return found

    def list_audit_log(
        self,
        *,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> models.AuditPage:
        """Who changed or took out what

        Newest first: companies, corrections, keys and exports of the team."""
        found: models.AuditPage = self._call(
            "GET",
            "/v1/audit-log",
            {200: TypeAdapter(models.AuditPage)},
            query={"action": action, "since": since, "until": until, "before": before, "limit": limit},
            headers={},
        )
        return found

    def list_sites(self) -> list[models.SiteHealth]:
        """The sites and their health, the worst first

        Crawls are known once `yuqing clean` has loaded their reports."""
        found: list[models.SiteHealth] = self._call(
            "GET", "/v1/sites", {200: TypeAdapter(list[models.SiteHealth])}, query={}, headers={}
        )
        return found

    def read_site(self, site: str) -> models.SiteHealth:
        """One site

        Its file, its last crawl and its last 24 hours."""
        found: models.SiteHealth = self._call(
            "GET", f"/v1/sites/{_segment(site)}", {200: TypeAdapter(models.SiteHealth)}, query={}, headers={}
        )
        return found

    def list_crawl_runs(
        self,
        *,
        site: str | None = None,
        problems: bool | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> models.CrawlRunPage:
        """Crawls, newest first

        With what they found and brought."""
        found: models.CrawlRunPage = self._call(
            "GET",
            "/v1/crawl-runs",
            {200: TypeAdapter(models.CrawlRunPage)},
            query={"site": site, "problems": problems, "before": before, "limit": limit},
            headers={},
        )
        return found

    def read_crawl_run(self, run_id: str) -> models.CrawlRunDetail:
        """One crawl with its report

        The first errors by address, what was given up, circuits and traps: docs/crawler.md explains the fields."""
        found: models.CrawlRunDetail = self._call(
            "GET", f"/v1/crawl-runs/{_segment(run_id)}", {200: TypeAdapter(models.CrawlRunDetail)}, query={}, headers={}
        )
        return found

    def start_crawl(self, body: models.Crawl) -> list[models.Task]:
        """Crawl sites now

        As Jobs of the cluster, or as a process beside the gateway. Its report is there after the next clean."""
        found: list[models.Task] = self._call(
            "POST", "/v1/crawls", {202: TypeAdapter(list[models.Task])}, query={}, headers={}, json_body=body, once=True
        )
        return found

    def start_cleaning(self, body: models.Cleaning) -> list[models.Task]:
        """Clean what is pending now

        As a Job of the cluster, or as a process beside the gateway."""
        found: list[models.Task] = self._call(
            "POST",
            "/v1/cleanings",
            {202: TypeAdapter(list[models.Task])},
            query={},
            headers={},
            json_body=body,
            once=True,
        )
        return found

    def list_tasks(self) -> list[models.Task]:
        """Crawls and cleans that run or ran, newest first

        The Jobs that the cluster still keeps, or the latest processes that were started beside a gateway."""
        found: list[models.Task] = self._call(
            "GET", "/v1/tasks", {200: TypeAdapter(list[models.Task])}, query={}, headers={}
        )
        return found

    def read_task(self, stage: Literal["crawl", "clean"], name: str) -> models.TaskDetail:
        """One of them, with its log

        The end of what it wrote."""
        found: models.TaskDetail = self._call(
            "GET",
            f"/v1/tasks/{_segment(stage)}/{_segment(name)}",
            {200: TypeAdapter(models.TaskDetail)},
            query={},
            headers={},
        )
        return found

    def list_queues(self) -> models.Queues:
        """The job queues and their workers

        A stalled job has lost its worker; another worker puts it back by itself."""
        found: models.Queues = self._call("GET", "/v1/queues", {200: TypeAdapter(models.Queues)}, query={}, headers={})
        return found

    def list_jobs(
        self,
        *,
        queue: str | None = None,
        status: Literal["todo", "doing", "failed", "cancelled", "succeeded", "aborted"] | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> models.JobPage:
        """Jobs, newest first

        Those that wait, run, have failed or were cancelled; what succeeded is not kept."""
        found: models.JobPage = self._call(
            "GET",
            "/v1/jobs",
            {200: TypeAdapter(models.JobPage)},
            query={"queue": queue, "status": status, "before": before, "limit": limit},
            headers={},
        )
        return found

    def read_job(self, job_id: int) -> models.JobDetail:
        """One job with its events

        404 also when it has succeeded meanwhile."""
        found: models.JobDetail = self._call(
            "GET", f"/v1/jobs/{_segment(job_id)}", {200: TypeAdapter(models.JobDetail)}, query={}, headers={}
        )
        return found

    def retry_job(self, job_id: int) -> models.JobDetail:
        """Put a failed job back into its queue

        It gets one more try. 409 unless it has failed, or when the same work waits already."""
        found: models.JobDetail = self._call(
            "POST",
            f"/v1/jobs/{_segment(job_id)}/retry",
            {200: TypeAdapter(models.JobDetail)},
            query={},
            headers={},
            once=True,
        )
        return found

    def cancel_job(self, job_id: int) -> models.JobDetail:
        """Take a waiting job out of its queue

        409 when it runs already, or has ended."""
        found: models.JobDetail = self._call(
            "POST",
            f"/v1/jobs/{_segment(job_id)}/cancellation",
            {200: TypeAdapter(models.JobDetail)},
            query={},
            headers={},
            once=True,
        )
        return found

    def list_quarantine(
        self, *, stage: str | None = None, before: str | None = None, limit: int | None = None
    ) -> models.QuarantinePage:
        """What the stages could not use, newest day first

        With the reasons and their numbers."""
        found: models.QuarantinePage = self._call(
            "GET",
            "/v1/quarantine",
            {200: TypeAdapter(models.QuarantinePage)},
            query={"stage": stage, "before": before, "limit": limit},
            headers={},
        )
        return found

    def read_quarantine(
        self,
        stage: str,
        day: str,
        batch: str,
        *,
        offset: int | None = None,
        limit: int | None = None,
        characters: int | None = None,
    ) -> models.QuarantinedBatch:
        """The records of a quarantined batch

        As they were kept, with the reason."""
        found: models.QuarantinedBatch = self._call(
            "GET",
            f"/v1/quarantine/{_segment(stage)}/{_segment(day)}/{_segment(batch)}",
            {200: TypeAdapter(models.QuarantinedBatch)},
            query={"offset": offset, "limit": limit, "characters": characters},
            headers={},
        )
        return found

    def replay_quarantine(self, body: models.Replay) -> models.Replayed:
        """Try quarantined batches again

        Raw documents are cleaned with today's code, recordings wait for the speech worker; what stays unusable stays there."""
        found: models.Replayed = self._call(
            "POST",
            "/v1/quarantine/replays",
            {202: TypeAdapter(models.Replayed)},
            query={},
            headers={},
            json_body=body,
            once=True,
        )
        return found

    def list_adapters(self) -> models.Adapters:
        """The adapters, and which one is active

        `ETag` names what is active."""
        found: models.Adapters = self._call(
            "GET", "/v1/adapters", {200: TypeAdapter(models.Adapters)}, query={}, headers={}
        )
        return found

    def activate_adapter(self, body: models.Activation, *, if_match: str) -> models.Adapters:
        """Activate an adapter

        `If-Match` has to carry the list's ETag. `yuqing llm sync` beside each server applies it within seconds to minutes."""
        found: models.Adapters = self._call(
            "PUT",
            "/v1/adapters/active",
            {200: TypeAdapter(models.Adapters)},
            query={},
            headers={"If-Match": if_match},
            json_body=body,
        )
        return found

    def roll_back_adapter(self, body: models.Rollback, *, if_match: str) -> models.Adapters:
        """Back to the adapter before

        `If-Match` has to carry the list's ETag. A second rollback goes forward again."""
        found: models.Adapters = self._call(
            "POST",
            "/v1/adapters/rollback",
            {200: TypeAdapter(models.Adapters)},
            query={},
            headers={"If-Match": if_match},
            json_body=body,
            once=True,
        )
        return found

    def read_usage(self, *, company: int | None = None, days: int | None = None) -> models.Usage:
        """Tokens by company and day

        `today` is the whole installation's, beside the day's budget (`YUQING_LLM__DAILY_TOKENS`)."""
        found: models.Usage = self._call(
            "GET", "/v1/usage", {200: TypeAdapter(models.Usage)}, query={"company": company, "days": days}, headers={}
        )
        return found

    def livez(self) -> str:
        """The process answers

        Nothing else is asked: a process is not restarted because its database is."""
        found: str = self._call("GET", "/livez", {}, query={}, headers={})
        return found

    def readyz(self) -> Any:
        """Which dependencies answer

        503 without the database. Without S3 only recordings fail, without the language model only POST /v1/analyze."""
        found: Any = self._call("GET", "/readyz", {200: TypeAdapter(Any)}, query={}, headers={})
        return found

    def metrics(self) -> str:
        """Prometheus metrics

        Requests and their times by route; queues, ledger and crawls, as far as the database answers."""
        found: str = self._call("GET", "/metrics", {}, query={}, headers={})
        return found
