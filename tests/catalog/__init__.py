"""The catalog client."""
