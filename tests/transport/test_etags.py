"""What entity tags say about content."""

import hashlib
from pathlib import Path

import pytest

from polly_core.transport.etags import content_matches, part_size_for, upload_etag

MIB = 1024 * 1024


def test_a_small_file_has_its_md5(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"abc")
    tag = hashlib.md5(b"abc").hexdigest()
    assert upload_etag(file, 3) == tag
    assert content_matches(file, 3, f'"{tag}"') is True
    assert content_matches(file, 3, tag.upper()) is True
    assert content_matches(file, 3, hashlib.md5(b"abd").hexdigest()) is False


def test_a_large_file_has_the_md5_of_its_parts(tmp_path: Path) -> None:
    file = tmp_path / "f"
    content = bytes(range(256)) * (9 * MIB // 256)
    file.write_bytes(content)
    digests = b"".join(
        hashlib.md5(content[at : at + 8 * MIB]).digest() for at in range(0, len(content), 8 * MIB)
    )
    tag = f"{hashlib.md5(digests).hexdigest()}-2"
    assert upload_etag(file, len(content)) == tag
    assert content_matches(file, len(content), tag) is True
    file.write_bytes(content[:-1] + b"x")
    assert content_matches(file, len(content), tag) is False


def test_a_file_of_exactly_one_part(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"\0" * (8 * MIB))
    assert upload_etag(file, 8 * MIB).endswith("-1")


@pytest.mark.parametrize("tag", ["", "xyz", "0" * 31, "g" * 32, f"{'0' * 32}-3", f"{'0' * 32}-x"])
def test_a_tag_of_another_kind_tells_nothing(tmp_path: Path, tag: str) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"abc")
    assert content_matches(file, 3, tag) is None


def test_parts_grow_only_to_stay_few_enough() -> None:
    assert part_size_for(0) == 8 * MIB
    assert part_size_for(80_000 * MIB) == 8 * MIB
    assert part_size_for(80_001 * MIB) == 16 * MIB
