"""Tests of polly_core.payloads."""
