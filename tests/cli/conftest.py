"""Someone at a shell, and the site that their runs are about."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_commands import User
from tests.operations.sites import RealSite, real_site
from tests.support.atlas import RunningAtlas


@pytest.fixture
def site(atlas: RunningAtlas, tmp_path: Path) -> Iterator[RealSite]:
    with real_site(atlas, tmp_path / "polly") as found:
        yield found


@pytest.fixture
def user(
    atlas: RunningAtlas, site: RealSite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> User:
    """Someone whose home is the site's, so that their ledger is."""
    return User(atlas, site.rig.atlas_id, tmp_path, capsys)
