"""Forecasts of real series, and two problems of long memory: adding and copying."""
