"""Entity tags: what the store says about the content of an object, computed from a local file."""

import hashlib
import math
from pathlib import Path

PART_SIZE = 8 * 1024 * 1024
MULTIPART_FROM = 8 * 1024 * 1024
_MAX_PARTS = 10_000
_BLOCK = 1024 * 1024


def part_size_for(size: int) -> int:
    """8 MiB, larger only to stay within the largest number of parts."""
    part = PART_SIZE
    while math.ceil(size / part) > _MAX_PARTS:
        part *= 2
    return part


def upload_etag(path: Path, size: int) -> str:
    """The tag that our upload of this file gets."""
    if size < MULTIPART_FROM:
        return _whole(path)
    return _in_parts(path, part_size_for(size))


def content_matches(path: Path, size: int, etag: str) -> bool | None:
    """Whether a file is what an entity tag says; None where the tag does not tell.

    A tag in parts tells only when the parts have the usual size.
    """
    tag = etag.strip('"').lower()
    digest, _, parts = tag.partition("-")
    if len(digest) != 32 or not set(digest) <= set("0123456789abcdef"):
        return None
    if not parts:
        return _whole(path) == tag
    usual = part_size_for(size)
    if not parts.isdigit() or int(parts) != max(1, math.ceil(size / usual)):
        return None
    return _in_parts(path, usual) == tag


def _whole(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def _in_parts(path: Path, part_size: int) -> str:
    digests: list[bytes] = []
    with path.open("rb") as file:
        while True:
            part = _md5()
            left = part_size
            while left and (block := file.read(min(_BLOCK, left))):
                part.update(block)
                left -= len(block)
            if left == part_size:
                break
            digests.append(part.digest())
    return f"{_md5(b''.join(digests)).hexdigest()}-{len(digests)}"


def _md5(data: bytes = b"") -> "hashlib._Hash":
    # The store's checksum, not a matter of security.
    return hashlib.md5(data, usedforsecurity=False)
