"""The REST API and the pages: two faces on gateway/queries/."""
