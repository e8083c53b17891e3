"""Bad answers, storms and an object store that refuses, for every operation.

Whatever goes wrong on the way, a run comes to what an undisturbed one comes to, and no write
happens twice.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from polly_core.models.run import ItemState
from polly_core.testing.faults import Fault
from tests.operations.scenarios import (
    ATTACH,
    COPY,
    CREATE,
    DATA,
    INGEST,
    SCENARIOS,
    Scenario,
)
from tests.operations.sites import Came, FakeSite
from tests.operations.weather import Weather, happened

LOST = (Fault.LOST_ANSWER, Fault.LOST_REQUEST)
REFUSED = (Fault.THROTTLED, Fault.LOCKED, Fault.UNAVAILABLE, Fault.NO_CONNECTION)
ALL = (*LOST, *REFUSED)
PUTTING = (CREATE, DATA, COPY, ATTACH)
"""They put objects into the store."""

Undisturbed = Callable[[Scenario, bool], Came]


def _name(scenario: Scenario) -> str:
    return scenario.name


of_every_operation = pytest.mark.parametrize("scenario", SCENARIOS, ids=_name)
either_service = pytest.mark.parametrize("enforcing", [True, False], ids=["enforcing", "hosted"])


@pytest.fixture(autouse=True)
def _short_waits() -> Iterator[None]:
    """Nothing arrives late in memory, and nobody is worn out by being asked again."""
    with (
        patch("polly_core.engine.shard.SETTLE_MARGIN", 0.0),
        patch("polly_core.engine.outage.FIRST_WAIT", 0.02),
    ):
        yield


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What each run comes to where nothing goes wrong."""
    known: dict[tuple[str, bool], Came] = {}

    def look(scenario: Scenario, enforcing: bool) -> Came:
        key = (scenario.name, enforcing)
        if key not in known:
            folder = tmp_path_factory.mktemp("undisturbed")
            site = FakeSite.make(folder, enforce_versions=enforcing)
            request = scenario.request(site)
            before = len(site.fake.writes)
            assert site.run(request).counts.by_state == scenario.ended
            assert max(happened(site.fake, before).values()) <= 2
            known[key] = site.came(request.run_id)
        return known[key]

    return look


def _cannot_be_seen(scenario: Scenario, enforcing: bool) -> bool:
    """Whether an ingestion is asked for where nobody sees it."""
    return scenario is INGEST and not enforcing


@either_service
@pytest.mark.parametrize(
    "faults",
    [(Fault.LOST_ANSWER,), (Fault.LOST_REQUEST,), REFUSED],
    ids=["answers", "requests", "refused"],
)
@of_every_operation
def test_every_other_write_goes_wrong(
    tmp_path: Path,
    undisturbed: Undisturbed,
    scenario: Scenario,
    enforcing: bool,
    faults: tuple[Fault, ...],
) -> None:
    """The first of each dataset does, then the repeated one goes well, then the next does not."""
    weather = Weather()
    site = FakeSite.make(tmp_path / "site", enforce_versions=enforcing, choose_fault=weather)
    request = scenario.request(site)
    before = len(site.fake.writes)
    weather.faults = faults
    summary = site.run(request)
    assert weather.came >= 2
    _nothing_twice(site, before)
    if scenario is INGEST and not enforcing and faults[0] in LOST:
        # Whether it was asked for cannot be seen there: it is not asked for again.
        assert summary.counts.by_state == {ItemState.UNKNOWN: 4}
        assert len(site.fake.writes) - before == 4
        return
    assert summary.counts.by_state == scenario.ended
    assert site.came(request.run_id) == undisturbed(scenario, enforcing)


def _nothing_twice(site: FakeSite, before: int) -> None:
    """Of a dataset each kind of write happened once; two where two of its files are items."""
    for (dataset_id, kind), number in happened(site.fake, before).items():
        most = 2 if kind in {"attach", "detach"} else 1
        assert number <= most, f"{kind} of {dataset_id} happened {number} times"
