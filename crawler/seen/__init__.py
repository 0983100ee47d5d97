"""Which addresses are settled: sorted arrays of 64-bit hashes on S3, a segment a batch, merged from time to time."""

from crawler.seen.hashes import pack, unpack
from crawler.seen.loading import load
from crawler.seen.segments import segment_key
from crawler.seen.urls import SeenUrls

__all__ = ["SeenUrls", "load", "pack", "segment_key", "unpack"]
