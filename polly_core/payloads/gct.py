"""GCT files, versions 1.2 and 1.3, from and to cmapPy's ``GCToo``."""

from polly_core.payloads.gct_reader import MISSING_MARKS, read_gct
from polly_core.payloads.gct_writer import GctVersion, write_gct

__all__ = ["MISSING_MARKS", "GctVersion", "read_gct", "write_gct"]
