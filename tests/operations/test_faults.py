"""Bad answers, storms and an object store that refuses, for every operation.

Whatever goes wrong on the way, a run comes to what an undisturbed one comes to, and no write
happens twice.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest

from polly_core.engine.points import Point
from polly_core.errors import StorageDenied, StorageUnavailable
from polly_core.models.run import ItemState, StopReason
from polly_core.models.selection import Selection
from polly_core.server.rehearsal import Faults
from polly_core.testing.faults import Fault
from tests.engine.rig import at_passing
from tests.operations.scenarios import (
    ATTACH,
    COPY,
    CREATE,
    DATA,
    DELETE,
    INGEST,
    SCENARIOS,
    STUDY,
    Asked,
    Scenario,
    undo_of,
)
from tests.operations.sites import Came, FakeSite, real_site
from tests.operations.weather import Weather, happened
from tests.support.rehearsed import RehearsedAtlas

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


@either_service
@of_every_operation
def test_everything_goes_wrong_at_random(
    tmp_path: Path, undisturbed: Undisturbed, scenario: Scenario, enforcing: bool
) -> None:
    weather = Weather(share=0.6, in_turn=False)
    site = FakeSite.make(tmp_path / "site", enforce_versions=enforcing, choose_fault=weather)
    request = scenario.request(site, concurrency=3, shard_size=2)
    before = len(site.fake.writes)
    unseen = scenario is INGEST and not enforcing
    weather.faults = REFUSED if unseen else ALL
    summary = site.run(request)
    assert weather.came >= 1
    assert summary.counts.by_state == scenario.ended
    assert site.came(request.run_id) == undisturbed(scenario, enforcing)
    _nothing_twice(site, before)


@of_every_operation
def test_a_lock_that_stays_stops_the_run_which_is_resumed(
    tmp_path: Path, undisturbed: Undisturbed, scenario: Scenario
) -> None:
    """No item is used up: what was not reached stays planned."""
    site = FakeSite.make(tmp_path / "site")
    request = scenario.request(site, patience=0.1)
    site.fake.fail_write(Fault.LOCKED, times=1000)
    summary = site.run(request)
    assert summary.stop is StopReason.CANNOT_PROCEED
    assert "Locked" in summary.message
    assert summary.counts.of(ItemState.PLANNED) == scenario.ended[ItemState.APPLIED]
    site.fake.forget_faults()
    assert site.run(request).counts.by_state == scenario.ended
    assert site.came(request.run_id) == undisturbed(scenario, True)


# -- the object store -------------------------------------------------------------------------


@either_service
@pytest.mark.parametrize("stored", [False, True], ids=["refused", "answer-lost"])
@pytest.mark.parametrize("scenario", PUTTING, ids=_name)
def test_the_store_is_away_for_a_while(
    tmp_path: Path, undisturbed: Undisturbed, scenario: Scenario, enforcing: bool, stored: bool
) -> None:
    site = FakeSite.make(tmp_path / "site", enforce_versions=enforcing)
    request = scenario.request(site)
    for name in "ABCD":
        site.fake.fail_store(StorageUnavailable("the store is away"), name, stored=stored)
    assert site.run(request).counts.by_state == scenario.ended
    assert site.came(request.run_id) == undisturbed(scenario, enforcing)
    locations = [call.location for call in site.fake.transfers if call.sent]
    assert len(locations) == len(set(locations)), "the same content was put there twice"


@pytest.mark.parametrize("scenario", PUTTING, ids=_name)
def test_an_object_that_is_refused_fails_its_item_and_nothing_else(
    tmp_path: Path, undisturbed: Undisturbed, scenario: Scenario
) -> None:
    site = FakeSite.make(tmp_path / "site")
    request = scenario.request(site)
    before = len(site.fake.writes)
    site.fake.fail_store(StorageDenied("refused"), "B")
    summary = site.run(request)
    applied = scenario.ended[ItemState.APPLIED]
    assert summary.counts.of(ItemState.APPLIED) == applied - 1
    rows = [row for row in site.rig.items(request.run_id) if row.state is ItemState.FAILED]
    assert [(row.dataset_id, "refused" in row.reasons[0]) for row in rows] == [("B", True)]
    assert all(call.dataset_id != "B" for call in site.fake.writes[before:])
    # The failures are a selection: a new run does the rest.
    rest = Asked(request.change or {}, Selection(failures_of=request.run_id))
    again = site.run(site.ask(scenario.operation, rest))
    assert again.counts.of(ItemState.APPLIED) == 1
    assert site.came(request.run_id).standing == undisturbed(scenario, True).standing


# -- a real server ----------------------------------------------------------------------------


@pytest.mark.parametrize("hosted", [False, True], ids=["enforcing", "hosted"])
@pytest.mark.parametrize(
    "scenario", [CREATE, DATA, DELETE, STUDY, undo_of(DELETE)], ids=_name
)  # fmt: skip
def test_bad_answers_of_a_real_server(
    rehearsed: RehearsedAtlas, tmp_path: Path, scenario: Scenario, hosted: bool
) -> None:
    with real_site(rehearsed, tmp_path / "quiet") as site:
        request = scenario.request(site)
        assert site.run(request).counts.by_state == scenario.ended
        expected = site.came(request)
    with real_site(rehearsed, tmp_path / "site", read_timeout=2.0) as site:
        assert site.ports.reader.capabilities.lists_ingestions
        capabilities = () if hosted else Faults().capabilities
        with rehearsed.told(Faults(capabilities=capabilities)):
            request = scenario.request(site, budget={"value": 10})
            rehearsed.turn(
                Faults(drop_rate=0.1, fail_rate=0.1, reject_above=60, capabilities=capabilities)
            )
            assert site.run(request).counts.by_state == scenario.ended
        assert site.came(request) == expected


@pytest.mark.parametrize("scenario", [CREATE, ATTACH, DATA], ids=_name)
def test_the_object_store_is_killed_in_the_middle(
    rehearsed: RehearsedAtlas, tmp_path: Path, scenario: Scenario
) -> None:
    with real_site(rehearsed, tmp_path / "site") as site:
        request = scenario.request(site)
        hook = at_passing(Point.SENDING, 2, rehearsed.kill_s3)
        assert site.run(request, hook=hook).counts.by_state == scenario.ended


@pytest.mark.parametrize("scenario", [CREATE, ATTACH], ids=_name)
def test_credentials_that_end_meanwhile_are_renewed(
    rehearsed: RehearsedAtlas, tmp_path: Path, scenario: Scenario
) -> None:
    with real_site(rehearsed, tmp_path / "site") as site:
        request = scenario.request(site, concurrency=1)
        rehearsed.tokens.seconds = 1.0
        before = rehearsed.tokens.issued
        slow = at_passing(Point.SENDING, 2, lambda: time.sleep(1.5))
        try:
            summary = site.run(request, hook=slow)
        finally:
            rehearsed.tokens.seconds = None
        assert summary.counts.by_state == scenario.ended
        assert rehearsed.tokens.issued >= before + 2, "the credentials did not end meanwhile"
