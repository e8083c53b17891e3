"""Makes the operation of a run from its spec: one file per operation."""
