"""An atlas in memory for each test: the real application over a real database file."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.house import TestHouse


@pytest.fixture
def house(tmp_path: Path) -> Iterator[TestHouse]:
    """Atlases 9, 17 and hidden; keys that may write, read, or see 9 only."""
    built = TestHouse(tmp_path / "catalog.db")
    yield built
    built.store.close()
