"""Rigs: a server that enforces versions, and one that does not, as the hosted service."""

from pathlib import Path

import pytest

from polly_core.testing.fake import FakeCatalog
from tests.engine.rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Over a server that enforces versions and records ingestions."""
    return Rig(tmp_path, FakeCatalog("9"))


@pytest.fixture
def hosted(tmp_path: Path) -> Rig:
    """Over a server that does neither."""
    return Rig(tmp_path, FakeCatalog("9", enforce_versions=False))
