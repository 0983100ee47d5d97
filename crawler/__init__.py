"""The crawler: a Scrapy project that brings pages and recordings to S3, and talks to nothing but the web and S3."""
