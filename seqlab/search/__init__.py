"""Search for better values of a configuration: python -m seqlab.search NAME (docs/runs.md)."""
