"""A demonstration newsroom: three local news sites with real texts. README.md says what they are like."""

from examples.newsroom.labels import labels
from examples.newsroom.launch import running
from examples.newsroom.sites import write_sites

__all__ = ["labels", "running", "write_sites"]
