"""Fakes of the ports, and the contract suites that prove them against the real things."""
