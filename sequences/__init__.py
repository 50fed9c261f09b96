"""Integer sequences: which recurrences a model learns, beside solvers and real sequences."""
