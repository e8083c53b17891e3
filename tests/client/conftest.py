"""A user who is authorized on the shared real server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from polly_core.auth import Polly
from polly_core.data_management import Catalog
from tests.support.atlas import RunningAtlas


@pytest.fixture
def authorized(atlas: RunningAtlas, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``Polly.auth`` was called; afterwards it never was."""
    monkeypatch.setenv("POLLY_API_URL", atlas.api_url)
    Polly.auth(atlas.api_key)
    yield
    Polly.default_session = None


@pytest.fixture
def catalog(authorized: None, atlas_id: str) -> Catalog:
    """An empty catalog."""
    return Catalog(atlas_id)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """A small data file, large enough to be looked for before it is uploaded."""
    path = tmp_path / "data.csv"
    path.write_text("gene,count\n" + "A,1\n" * 500)
    return path
