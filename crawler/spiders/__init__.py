"""Spiders: one kind of site a file."""
