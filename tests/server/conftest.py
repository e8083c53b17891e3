"""An atlas in memory for each test: the real application over a real database file."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.house import TestHouse


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that holds the atlases and keys already, to be copied."""
    path = tmp_path_factory.mktemp("prepared") / "catalog.db"
    TestHouse(path).store.close()
    return path


@pytest.fixture
def house(tmp_path: Path, prepared: Path) -> Iterator[TestHouse]:
    """Atlases 9, 17 and hidden; keys that may write both, read both, or copy from 9 to 17."""
    built = TestHouse(Path(shutil.copy(prepared, tmp_path)))
    yield built
    built.store.close()
