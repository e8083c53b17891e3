"""Executes a run: workers, limiter, budget, settling, verification, reports."""
