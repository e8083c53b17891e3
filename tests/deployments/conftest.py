"""The deployments of prefect.yaml on a real server, with a real worker and a slow atlas."""

from collections.abc import Iterator

import pytest

from tests.support.deployed import Deployed, deployed_on
from tests.support.prefect import PrefectServer


# Of the module, not the session: while it stands, this process talks to its server.
@pytest.fixture(scope="module")
def deployed(
    prefect_server: PrefectServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployed]:
    """Deployed as the documentation says."""
    with deployed_on(prefect_server, tmp_path_factory.mktemp("deployed")) as found:
        yield found
