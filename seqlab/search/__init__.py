"""Hyperparameter search: python -m seqlab.search NAME (docs/runs.md)."""
