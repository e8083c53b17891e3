"""kill -9 at every point of every operation, then resume: the catalog of an undisturbed run.

Everything is compared: metadata, data, type, study, files with tag and link, where the objects
are, how many versions there are, what the server recorded of the run, and what the ledger says.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest

from polly_core.engine.points import Point
from polly_core.engine.request import RunRequest
from polly_core.models.run import ItemState, RunState, RunSummary
from polly_core.server.rehearsal import Faults
from tests.engine.child import Job, run_child
from tests.operations.scenarios import (
    ATTACH,
    COPY,
    CREATE,
    DATA,
    DELETE,
    DETACH,
    FORWARD,
    INGEST,
    SCENARIOS,
    UPDATE,
    Scenario,
    undo_of,
)
from tests.operations.sites import Came, RealSite, real_site
from tests.support.atlas import RunningAtlas
from tests.support.rehearsed import HOSTED, RehearsedAtlas

pytestmark = pytest.mark.timeout(180)

KILLED = -9
POINTS = tuple(Point)[:-1]
"""All but the last, which is the flow's."""
MIDDLE = {Point.READ: 2, Point.SENDING: 2, Point.ANSWERED: 2, Point.VERIFYING: 2}
"""Which passing of a point is in the middle of a run; the others are passed once a shard."""
WITH_STEPS = (CREATE, DATA, COPY, DELETE, ATTACH, DETACH, undo_of(DELETE), undo_of(DATA))
"""They take several steps for an item, or have several items of one dataset."""
MOST_STEPS = 40

Undisturbed = Callable[[Scenario], Came]


def _name(scenario: Scenario) -> str:
    return scenario.name


of_every_operation = pytest.mark.parametrize("scenario", SCENARIOS, ids=_name)
FIRST = (*FORWARD, *map(undo_of, (CREATE, DATA, DELETE, ATTACH)))
"""Every operation, and undo in every way that it has; the rest is a long form."""
FIRST_NAMES = {one.name for one in FIRST}


def _some_at_once(scenarios: Iterable[Scenario], now: Container[str]) -> pytest.MarkDecorator:
    """Of all of these, those that are not named are a long form."""
    return pytest.mark.parametrize(
        "scenario",
        [
            pytest.param(one, id=one.name, marks=() if one.name in now else pytest.mark.soak)
            for one in scenarios
        ],
    )


@pytest.fixture
def site(atlas: RunningAtlas, tmp_path: Path) -> Iterator[RealSite]:
    with real_site(atlas, tmp_path / "site") as site:
        yield site


@pytest.fixture(scope="module")
def undisturbed(atlas: RunningAtlas, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """What each run comes to where nobody disturbs it."""
    known: dict[str, Came] = {}

    def look(scenario: Scenario) -> Came:
        if scenario.name not in known:
            with real_site(atlas, tmp_path_factory.mktemp("undisturbed") / "site") as site:
                request = scenario.request(site)
                _well(scenario, site.run(request))
                known[scenario.name] = site.came(request)
        return known[scenario.name]

    return look


def _well(scenario: Scenario, summary: RunSummary) -> None:
    assert summary.counts.by_state == scenario.ended
    assert summary.state is RunState.FINISHED
    assert summary.counts.verified == scenario.ended[ItemState.APPLIED]


def _child(site: RealSite, request: RunRequest, at: Point, *, passing: int = 1) -> int:
    return run_child(Job(request, site.rig.surroundings(), at=at, passing=passing))


def _killed(site: RealSite, request: RunRequest, at: Point, *, passing: int = 1) -> None:
    code = _child(site, request, at, passing=passing)
    assert code == KILLED, f"not killed at {at}, passing {passing}: its exit code is {code}"


@_some_at_once(SCENARIOS, FIRST_NAMES)
def test_killed_at_every_point_in_turn(
    site: RealSite, undisturbed: Undisturbed, scenario: Scenario
) -> None:
    """One run, killed at each point the first time that it, or what resumes it, comes there."""
    request = scenario.request(site)
    for point in POINTS:
        _killed(site, request, point)
    _well(scenario, site.take_up(request))
    assert site.came(request) == undisturbed(scenario)


@pytest.mark.parametrize("scenario", FORWARD, ids=_name)
@pytest.mark.parametrize(
    "point", [Point.SENDING, pytest.param(Point.ANSWERED, marks=pytest.mark.soak)]
)
def test_killed_in_the_middle_and_resumed(
    site: RealSite, undisturbed: Undisturbed, scenario: Scenario, point: Point
) -> None:
    request = scenario.request(site, barrier=point is Point.SENDING)
    _killed(site, request, point, passing=2)
    _well(scenario, site.take_up(request))
    assert site.came(request) == undisturbed(scenario)


@pytest.mark.parametrize("scenario", WITH_STEPS, ids=_name)
@pytest.mark.parametrize(
    "point", [pytest.param(Point.SENDING, marks=pytest.mark.soak), Point.ANSWERED]
)
def test_killed_between_all_steps(
    site: RealSite, undisturbed: Undisturbed, scenario: Scenario, point: Point
) -> None:
    """Every process gets one step further: it dies before the next, or before noting it."""
    request = scenario.request(site, concurrency=1)
    kills = 0
    while _child(site, request, point, passing=2) == KILLED:
        kills += 1
        assert kills < MOST_STEPS
    assert kills >= scenario.ended[ItemState.APPLIED] // 2
    _well(scenario, site.take_up(request))
    assert site.came(request) == undisturbed(scenario)


# -- without preconditions --------------------------------------------------------------------


@contextmanager
def _hosted_site(server: RehearsedAtlas, folder: Path) -> Iterator[RealSite]:
    """On a service like the hosted one; what others see of it, they see as it is."""
    with real_site(server, folder, read_timeout=2.0) as site:
        assert site.ports.reader.capabilities.lists_ingestions
        # The second settling read waits for requests to have ended; here they end at once.
        with patch("polly_core.engine.shard.SETTLE_MARGIN", 0.1), server.told(HOSTED):
            yield site


def _came(server: RehearsedAtlas, site: RealSite, request: RunRequest) -> Came:
    server.turn(Faults())
    return site.came(request)


@pytest.fixture(scope="module")
def undisturbed_hosted(
    rehearsed: RehearsedAtlas, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    known: dict[str, Came] = {}

    def look(scenario: Scenario) -> Came:
        if scenario.name not in known:
            folder = tmp_path_factory.mktemp("hosted") / "site"
            with _hosted_site(rehearsed, folder) as site:
                request = scenario.request(site)
                _well(scenario, site.run(request))
                known[scenario.name] = _came(rehearsed, site, request)
        return known[scenario.name]

    return look


@_some_at_once([one for one in SCENARIOS if one is not INGEST], FIRST_NAMES)
def test_killed_and_resumed_without_preconditions(
    rehearsed: RehearsedAtlas, tmp_path: Path, undisturbed_hosted: Undisturbed, scenario: Scenario
) -> None:
    expected = undisturbed_hosted(scenario)
    with _hosted_site(rehearsed, tmp_path / "site") as site:
        request = scenario.request(site)
        _killed(site, request, Point.ANSWERED, passing=2)
        _well(scenario, site.take_up(request))
        assert _came(rehearsed, site, request) == expected


def test_an_ingestion_that_cannot_be_seen_is_repeated_only_if_told(
    rehearsed: RehearsedAtlas, tmp_path: Path
) -> None:
    with _hosted_site(rehearsed, tmp_path / "site") as site:
        request = INGEST.request(site, concurrency=1)
        _killed(site, request, Point.ANSWERED, passing=2)
        summary = site.take_up(request)
        assert summary.counts.by_state == {ItemState.APPLIED: 3, ItemState.UNKNOWN: 1}
        assert request.options is not None
        bold = request.options.model_copy(update={"repeat_unknown": True})
        assert site.run(request.model_copy(update={"options": bold})).exit_code == 0
        came = _came(rehearsed, site, request)
    assert sorted(came.ingestions.values()) == [1, 1, 1, 2], "the one that was unknown, again"


# -- long forms -------------------------------------------------------------------------------


@pytest.mark.soak
@pytest.mark.parametrize("barrier", [False, True], ids=["streaming", "barrier"])
@pytest.mark.parametrize("point", POINTS)
@of_every_operation
def test_killed_at_each_point_alone(
    site: RealSite, undisturbed: Undisturbed, scenario: Scenario, point: Point, barrier: bool
) -> None:
    request = scenario.request(site, barrier=barrier)
    _killed(site, request, point, passing=MIDDLE.get(point, 1))
    _well(scenario, site.take_up(request))
    assert site.came(request) == undisturbed(scenario)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", POINTS)
@of_every_operation
def test_killed_at_each_passing_of_each_point(
    atlas: RunningAtlas,
    tmp_path: Path,
    undisturbed: Undisturbed,
    scenario: Scenario,
    point: Point,
) -> None:
    for passing in range(1, MOST_STEPS):
        with real_site(atlas, tmp_path / str(passing)) as site:
            request = scenario.request(site, concurrency=1, shard_size=1)
            killed = _child(site, request, point, passing=passing) == KILLED
            _well(scenario, site.take_up(request))
            assert site.came(request) == undisturbed(scenario)
        if not killed:
            assert passing > 1
            return
    raise AssertionError(f"{point} was passed {MOST_STEPS} times and more")


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize(
    "scenario", [one for one in SCENARIOS if one is not INGEST], ids=_name
)  # fmt: skip
def test_killed_at_each_point_without_preconditions(
    rehearsed: RehearsedAtlas,
    tmp_path: Path,
    undisturbed_hosted: Undisturbed,
    scenario: Scenario,
    point: Point,
) -> None:
    expected = undisturbed_hosted(scenario)
    with _hosted_site(rehearsed, tmp_path / "site") as site:
        request = scenario.request(site)
        _killed(site, request, point, passing=MIDDLE.get(point, 1))
        _well(scenario, site.take_up(request))
        assert _came(rehearsed, site, request) == expected


# -- during an upload -------------------------------------------------------------------------


@pytest.mark.parametrize("scenario", [CREATE, DATA, COPY, ATTACH, UPDATE], ids=_name)
@pytest.mark.parametrize("milliseconds", [4, pytest.param(9, marks=pytest.mark.soak)])
def test_killed_while_a_step_is_under_way(
    site: RealSite, undisturbed: Undisturbed, scenario: Scenario, milliseconds: int
) -> None:
    request = scenario.request(site)
    job = Job(
        request,
        site.rig.surroundings(),
        at=Point.SENDING,
        passing=2,
        after=milliseconds / 1000,
    )
    assert run_child(job) in {KILLED, 0, 1}, "killed, or it was quicker"
    _well(scenario, site.take_up(request))
    assert site.came(request) == undisturbed(scenario)
