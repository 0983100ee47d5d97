"""From a load to parts, sizes, bottlenecks and money. Nothing is rounded before the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from yuqing.planning.figures import Figures

DAY_S = 86_400
_BATCH_PAGES = 100  # pages of a batch where a site has so many; a quiet site's batch holds what a run found
_SITES_A_CRAWLER = 16  # crawler.concurrent_sites
_CLEAN_EVERY_S = 600  # the CronJob's interval


@dataclass(frozen=True)
class Load:
    """What comes in: by site and day, and shares of it. `delay_s` is the pause between two requests to one host."""

    sites: int = 1
    documents_per_day: float = 200
    lists_per_document: float = 0.5
    delay_s: float = 1.0
    javascript_share: float = 0.1
    audio_hours_per_day: float = 0.1
    mention_share: float = 0.3
    reprint_share: float = 0.3
    runs_per_day: float = 48
    raw_days: float = 90
    keep_months: float = 12
    peak: float = 3.0
    utilisation: float = 0.6

    @property
    def documents(self) -> float:
        """A day, of all sites."""
        return self.sites * self.documents_per_day

    @property
    def peak_s(self) -> float:
        """Documents a second in the busiest hours, divided by how far a part may be filled."""
        return self.documents / DAY_S * self.peak / self.utilisation


@dataclass(frozen=True)
class Prices:
    """What things cost, in one currency: a core-hour with 4 GiB, a GPU-hour, a GB-month of S3 and of database volume."""

    core_hour: float = 0.045
    gpu_hour: float = 2.5
    s3_gb_month: float = 0.023
    database_gb_month: float = 0.12


@dataclass(frozen=True)
class Need:
    """A part: how many times the work of one unit is needed at the peak, what one unit is, and the lever when it is full.

    Parts that cannot be multiplied (`single`) end the growth unless the lever is pulled.
    """

    name: str
    ratio: float
    unit: str
    lever: str
    single: bool = False

    @property
    def units(self) -> int:
        """Whole units, at least one."""
        return max(1, math.ceil(self.ratio))


@dataclass(frozen=True)
class Plan:
    """What a load needs, in the order in which the parts fill up."""

    load: Load
    gpu: bool
    needs: tuple[Need, ...]
    documents: float
    audio_hours: float
    calls: float
    cores: float
    gpus: float
    s3_gb: float
    database_gb: float
    cost_day: float

    @property
    def bottleneck(self) -> Need:
        """The part that fills up first: the one whose single unit has the most to do."""
        return self.needs[0]

    @property
    def impossible(self) -> tuple[Need, ...]:
        """Parts that cannot be multiplied and are over-full."""
        return tuple(need for need in self.needs if need.single and need.ratio > 1)

    @property
    def cost_million(self) -> float:
        """Of a million documents."""
        return self.cost_day / self.documents * 1e6


def plan(load: Load, prices: Prices, figures: Figures, *, gpu: bool) -> Plan:
    """Compute it. With `gpu` language model and large-v3 run on GPUs, otherwise the small models on cores.

    Raises ValueError for a load or a price out of its range; the message names the field.
    """
    _check(load, prices)
    requests = load.documents_per_day * (1 + load.lists_per_document) + load.runs_per_day
    pages_s = load.peak_s * (1 + load.lists_per_document)
    calls_s = load.peak_s * load.mention_share * (1 - figures["triage_share"]) * (1 - load.reprint_share)
    audio = load.sites * load.audio_hours_per_day
    audio_peak = audio / 24 * load.peak / load.utilisation  # hours of sound an hour
    batches = load.sites * min(load.runs_per_day, load.documents_per_day) + load.documents / _BATCH_PAGES
    database_gb = load.documents * 30.4 * load.keep_months * figures["database_bytes"] / 1e9
    s3_gb = (
        load.raw_days * load.documents * (1 + load.lists_per_document) * figures["raw_bytes"]
        + load.raw_days * audio * figures["sound_bytes_hour"]
        + 365 * load.documents * figures["seen_bytes"]
    ) / 1e9
    llm_cores = 0.0 if gpu else calls_s / figures["llm_calls_core_s"]
    llm_gpus = calls_s / figures["llm_calls_gpu_s"] if gpu else 0.0
    speech_cores = 0.0 if gpu else audio_peak * figures["speech_core_hours"]
    speech_gpus = audio_peak * figures["speech_gpu_hours"] if gpu else 0.0
    crawl = pages_s / figures["crawl_pages_cpu_s"]
    browsers = pages_s * load.javascript_share / figures["browser_pages_core_s"]
    clean = load.peak_s / figures["clean_documents_cpu_s"]
    merge = load.peak_s * figures["merge_s"]
    needs = [
        Need(
            "one site",
            requests * load.delay_s / DAY_S / load.utilisation,
            f"a host asked every {load.delay_s:g} s",
            "its feed or sitemap instead of lists; fewer revisits; a shorter delay where its owner agrees",
            single=True,
        ),
        Need(
            "crawlers",
            max(crawl, load.sites * requests * load.delay_s / DAY_S / load.utilisation / _SITES_A_CRAWLER),
            f"a pod with a core and {_SITES_A_CRAWLER} sites at once",
            "more groups of sites: a CronJob each (`yuqing k8s render`)",
        ),
        Need(
            "browsers",
            browsers,
            "a Chromium on a core",
            "crawler.browsers, more pods; an API of the site's instead of its pages",
        ),
        Need("cleaning", clean, "a core", "Spark executors: k8s:// as the master, more of them"),
        Need(
            "merge into PostgreSQL",
            merge,
            "one transaction after the other",
            "partition documents by month, the bigram index built by month when it is closed; then one database a region",
            single=True,
        ),
        Need(
            "listing raw/",
            batches * load.raw_days / 1000 * figures["list_page_s"] / (_CLEAN_EVERY_S * load.utilisation),
            f"one listing every {_CLEAN_EVERY_S} s",
            "fewer retention.raw_days; larger batches; day prefixes listed from the watermark on",
            single=True,
        ),
        Need(
            "writes to S3",
            (batches * 2 + load.documents * 0.1) / DAY_S * load.peak / load.utilisation / figures["s3_puts_s"],
            "a prefix",
            "another prefix or bucket for media/ and raw/",
        ),
        Need(
            "job queue",
            (calls_s + audio_peak / 3600) / figures["queue_jobs_s"],
            "one PostgreSQL",
            "shard the queues: a database of their own, then one a hash of the document",
            single=True,
        ),
        Need(
            "database volume",
            database_gb / 1000,
            "1 TB",
            "partition by month, move closed months to a cheaper volume; read replicas for the gateway",
        ),
        Need(
            "speech",
            speech_gpus if gpu else speech_cores / 2,
            "a GPU with large-v3" if gpu else "a worker with two cores and base",
            "more workers; the queue shares the work out",
        ),
        Need(
            "language model",
            llm_gpus if gpu else llm_cores / 2,
            "a GPU with vLLM and a 7 B model" if gpu else "two cores with vLLM and the 0.5 B model",
            "vLLM replicas behind a router that knows prefixes; triage; " + ("fp8" if gpu else "a GPU"),
        ),
    ]
    cores = (
        crawl + browsers + clean + merge + speech_cores + llm_cores + load.peak_s / figures["triage_documents_cpu_s"]
    )
    gpus = llm_gpus + speech_gpus
    # Cores and GPUs are paid by their share: a cluster scales them by the hour. Half a core stands for what always runs.
    cost = (cores + 0.5) * 24 * prices.core_hour + gpus * 24 * prices.gpu_hour
    cost += (s3_gb * prices.s3_gb_month + database_gb * prices.database_gb_month) / 30.4
    return Plan(
        load=load,
        gpu=gpu,
        needs=tuple(sorted(needs, key=lambda need: -need.ratio)),
        documents=load.documents,
        audio_hours=audio,
        calls=calls_s * DAY_S / load.peak * load.utilisation,
        cores=cores + 0.5,
        gpus=gpus,
        s3_gb=s3_gb,
        database_gb=database_gb,
        cost_day=cost,
    )


def _check(load: Load, prices: Prices) -> None:
    for item in fields(load):
        value = float(getattr(load, item.name))
        share = item.name.endswith("_share") or item.name == "utilisation"
        positive = item.name in ("sites", "documents_per_day", "peak", "utilisation")
        if not math.isfinite(value) or value < 0 or (share and value > 1) or (positive and value == 0):
            raise ValueError(f"{item.name} is {value:g}: it has to be {'between 0 and 1' if share else 'above 0'}")
    for price in fields(prices):
        value = float(getattr(prices, price.name))
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{price.name} is {value:g}: a price is 0 or more")
