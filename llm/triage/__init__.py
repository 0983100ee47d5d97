"""Triage: character n-grams and logistic regression, which read a document's sentiment in a millisecond."""
