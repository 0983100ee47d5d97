"""The family page."""

STRINGS: dict[str, tuple[str, str]] = {}
