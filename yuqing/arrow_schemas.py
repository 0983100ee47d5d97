"""Arrow schemas of the records that are stored as Parquet; not in contracts.py because pyarrow is slow to import."""

import pyarrow as pa

_TIME = pa.timestamp("us", tz="UTC")

MEDIA = pa.struct(
    [
        ("url", pa.string()),
        ("sha256", pa.string()),
        ("s3_key", pa.string()),
        ("content_type", pa.string()),
        ("bytes", pa.int64()),
        ("error", pa.string()),
    ]
)
IMAGE = pa.struct([("url", pa.string()), ("alt", pa.string())])
TIMED_SPAN = pa.struct([("start", pa.int32()), ("end", pa.int32()), ("start_s", pa.float64()), ("end_s", pa.float64())])

# The columns of clean/dt=.../<batch>.parquet: contracts.Article, field by field (a test compares the two).
ARTICLE = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("content_hash", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("site", pa.string(), nullable=False),
        pa.field("url", pa.string(), nullable=False),
        pa.field("canonical_url", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("published_at", _TIME),
        pa.field("fetched_at", _TIME, nullable=False),
        pa.field("author", pa.string()),
        pa.field("source", pa.string()),
        pa.field("language", pa.string(), nullable=False),
        pa.field("media", pa.list_(MEDIA)),
        pa.field("images", pa.list_(IMAGE)),
        pa.field("segments", pa.list_(TIMED_SPAN)),
        pa.field("parent_url", pa.string()),
        pa.field("batch", pa.string(), nullable=False),
        pa.field("cleaning_version", pa.string(), nullable=False),
        pa.field("masked", pa.int32(), nullable=False),
    ]
)
