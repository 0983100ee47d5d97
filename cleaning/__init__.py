"""Cleaning: raw batches to articles.

The files follow the data: s3source, decode, extract, metadata, language, quality (article puts these together), duplicates,
stage (on the executors), reprints and publish (on the driver); job is the plan.
"""
