"""Figures, each beside its limit and beside what people do today."""
