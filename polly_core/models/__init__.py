"""Models that cross module borders: catalog, wire, change, selection and run."""
