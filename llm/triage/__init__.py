"""Triage: n-grams, words and logistic regression, which read a document's sentiment in a millisecond."""
