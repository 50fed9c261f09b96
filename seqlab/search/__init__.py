"""Hyperparameter search: seqlab search NAME (docs/runs.md)."""
