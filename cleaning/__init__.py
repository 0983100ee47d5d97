"""Cleaning: raw batches to articles.

The files follow the data: batches and s3source, decode, extract, metadata, language, quality (article puts these together),
duplicates, stage (on the executors), reprints and publish (on the driver); spark is the plan, job runs it round by round,
replay feeds it quarantine.
"""
