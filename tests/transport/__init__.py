"""HTTP and S3."""
