"""SQL in, frozen dataclasses out; the API and the pages are two faces on these.

Every query takes the team of the key: another team's object does not exist.
"""
