"""The fakes."""
