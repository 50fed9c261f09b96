"""Semiprimes: what a network learns about factoring, beside the baselines that tell what it is worth."""
