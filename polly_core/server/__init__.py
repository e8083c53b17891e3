"""The self-hosted atlas: the catalog protocol over SQLite and any S3."""
