"""Formal languages: which of their rules does a sequence model learn, and which does it extrapolate?"""
