"""One Scrapy spider a site (base.py) and the kinds of sources in which it finds articles: one kind a file."""
