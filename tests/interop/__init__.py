"""The vendor's unmodified client and ours do the same with the same server."""
