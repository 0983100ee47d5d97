"""Cleaning: raw batches to articles. The files follow the data: s3source, decode, extract, metadata, quality, duplicates, reprints, publish."""
