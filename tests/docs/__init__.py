"""The documentation, page by page, as its reader would follow it."""
