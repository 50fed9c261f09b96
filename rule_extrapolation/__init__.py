"""Rule extrapolation on formal languages: which rules a sequence model learns, and which it extrapolates."""
