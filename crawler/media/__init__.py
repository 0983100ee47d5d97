"""Recordings that pages name: found (find.py), fetched (transfer.py, playlists.py, segments.py), told by their content
(content.py), joined and measured (join.py), stored once (pipeline.py)."""
