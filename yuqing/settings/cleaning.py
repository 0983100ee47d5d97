"""The cleaning's settings; each threshold with its source."""

from typing import Literal

from pydantic import Field

from yuqing.settings.section import Section


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
        description="a Python worker that neither sends nor receives for so long is killed and its task tried again; it says "
        "nothing while it cleans a batch, which may therefore have some 20,000 pages",
    )
    driver_memory: str = Field("1g", description="the JVM's heap in local mode; the Python workers are extra")
    batches_a_round: int = Field(
        200, ge=1, description="batches cleaned by one Spark job and merged in one transaction, at most"
    )
    bytes_a_round: int = Field(
        2 * 2**20,
        ge=1,
        description="compressed bytes with which a round is full (800 pages of news): small enough that merging the last one, for "
        "which the executors have nothing to do, is short; each costs some 0.2 s of its own",
    )
    rounds_at_once: int = Field(
        8,
        ge=1,
        description="rounds under way: one in PostgreSQL and the others with the executors, enough to go on while the index of "
        "the texts is brought up to date (10 s)",
    )
    index_every: int = Field(
        500,
        ge=1,
        description="documents after which their terms are put into the full-text index, on Spark and beside the next merges (or "
        "after a tenth of all documents, up to 5,000); the rest at the end of a run, which waits for it: some 1.8 ms a document",
    )
    archive_classes: bool = Field(
        True,
        description="keep Java's classes in the cache (160 MB), where the driver is its own cluster and Java is a full one: the "
        "first run on Spark takes some 20 s longer, and each later one starts in two thirds of the time",
    )
    batches_a_plan: int = Field(
        2000, ge=1, description="batches that Spark plans at once, in 2 to 3 s; the list of them goes to each task"
    )
    rows_a_transfer: int = Field(
        64, ge=1, description="pages a batch of Arrow's; with s3a also a message between the JVM and a Python worker"
    )
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
