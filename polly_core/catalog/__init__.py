"""Datasets, versions, supplementary files and studies of one atlas."""
