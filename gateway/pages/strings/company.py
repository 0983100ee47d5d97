"""The company page."""

STRINGS: dict[str, tuple[str, str]] = {}
