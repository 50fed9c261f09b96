"""Semiprimes: what a network learns about factoring, compared with baselines."""
