"""From a page of a site to a draft of its file: a guess at every field, with the reason beside it."""
