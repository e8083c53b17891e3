"""The only HTTP and S3 of the project: session, retry, credentials, objects."""
