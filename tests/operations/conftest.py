"""Rigs for tests of operations: the engine's, and one of either kind of service."""

from pathlib import Path

import pytest

from polly_core.testing.fake import FakeCatalog
from tests.engine.conftest import hosted, real, rehearsed, rig
from tests.engine.rig import Rig

__all__ = ["hosted", "real", "rehearsed", "rig"]


@pytest.fixture(params=["enforcing", "hosted"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    """Over a service that enforces versions, and over one that does not."""
    return Rig(tmp_path, FakeCatalog("9", enforce_versions=request.param == "enforcing"))
