"""From a document and its companies to a sentiment and verdicts with quotes. Light: no torch, no transformers."""
