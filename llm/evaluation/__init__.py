"""How right the analysis is on labelled documents: figures with intervals, a report, and floors that only rise."""
