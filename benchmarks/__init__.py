"""Benchmarks: fit estimators on named data sets, keep the figures, print tables."""
