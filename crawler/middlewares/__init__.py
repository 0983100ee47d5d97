"""Scrapy middlewares: one subject a file."""
