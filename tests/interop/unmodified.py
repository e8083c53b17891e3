"""Whether the installed client is the published one: ``python -m tests.interop.unmodified``.

Prints its version, how many files its wheel lists with a hash, and those that differ.
"""

import base64
import hashlib
import json
import sys
from importlib.metadata import distribution


def main() -> None:
    """Compare every file with the hash that the wheel recorded for it."""
    found = distribution("polly-python")
    files = [file for file in found.files or [] if file.hash is not None]
    changed = [
        str(file)
        for file in files
        if file.hash is not None
        and file.hash.value
        != base64.urlsafe_b64encode(
            hashlib.new(file.hash.mode, file.locate().read_bytes()).digest()  # type: ignore[attr-defined]
        )
        .rstrip(b"=")
        .decode()
    ]
    json.dump({"version": found.version, "files": len(files), "changed": changed}, sys.stdout)


if __name__ == "__main__":
    main()
