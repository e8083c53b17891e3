"""Data files: what format they have, GCT and h5ad reading and writing, inspection."""
