"""The public API, as users know it."""
