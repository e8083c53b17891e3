"""The tutorial's import path of catalogs and what they hold."""

from polly_core.catalog.client import Catalog
from polly_core.catalog.copying import copy_dataset
from polly_core.catalog.resources import Dataset, DatasetVersion, SupplementaryFile

__all__ = ["Catalog", "Dataset", "DatasetVersion", "SupplementaryFile", "copy_dataset"]
