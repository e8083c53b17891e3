"""Runs over a real server on its bad days. Histories say what was written, and how often."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from polly_core.engine.points import Point
from polly_core.engine.request import RunRequest
from polly_core.engine.session import open_session
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import ItemState, RunState, RunSummary
from polly_core.server.rehearsal import Faults
from tests.engine.child import Job, exit_code
from tests.engine.child import child as carrying_out
from tests.engine.real import DONE, RealRig, expected, written
from tests.engine.rig import at_passing
from tests.support.atlas import running_atlas
from tests.support.rehearsed import HOSTED, RehearsedAtlas
from tests.support.standing import connected, history, ingestions
from tests.support.wire import WireCaller

NUMBER = 60
CAPABILITIES = pytest.mark.parametrize(
    "capabilities", [Faults().capabilities, HOSTED.capabilities], ids=["own", "hosted"]
)
ENDED = {
    ItemState.APPLIED: len(written(NUMBER)),
    ItemState.UNCHANGED: 2,
    ItemState.INVALID: 1,
}


@pytest.fixture
def rig(rehearsed: RehearsedAtlas, tmp_path: Path) -> RealRig:
    found = RealRig(rehearsed, tmp_path, read_timeout=3.0)
    found.fill(NUMBER)
    return found


def _request(rig: RealRig, **options: object) -> RunRequest:
    return rig.request(**{"shard_size": 25, "concurrency": 8, **options})  # type: ignore[arg-type]


def _right(rig: RealRig, request: RunRequest, summary: RunSummary) -> None:
    assert summary.state is RunState.FINISHED
    assert summary.counts.by_state == ENDED
    assert rig.standing() == expected(NUMBER)
    recorded = ingestions(rig.server, rig.atlas_id, request.run_id)
    assert sorted(one.dataset_id for one in recorded) == written(NUMBER)


@CAPABILITIES
def test_lost_answers(
    rehearsed: RehearsedAtlas,
    rig: RealRig,
    capabilities: tuple[str, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One write in twenty is done and not answered."""
    caplog.set_level("INFO", "polly_core.engine")
    request = _request(rig)
    with rehearsed.told(Faults(drop_rate=0.05, capabilities=capabilities)):
        summary = rig.run(request)
    assert "answer lost" in caplog.text, "no answer was lost"
    _right(rig, request, summary)


@CAPABILITIES
def test_a_storm_of_refusals(
    rehearsed: RehearsedAtlas, rig: RealRig, capabilities: tuple[str, ...]
) -> None:
    """The service takes a fraction of what it is asked; the run slows down and ends right."""
    slow: list[int] = []
    request = _request(rig, concurrency=32)
    with (
        rehearsed.told(Faults(reject_above=80, capabilities=capabilities)),
        open_session(request, rig.surroundings()) as session,
    ):
        session.freeze()
        for shard in session.open_shards():
            session.run_shard(shard)
            slow.append(session.progress().concurrency)
        summary = session.finish()
    assert min(slow) < 32, "it never slowed down"
    _right(rig, request, summary)


@CAPABILITIES
def test_server_errors(
    rehearsed: RehearsedAtlas, rig: RealRig, capabilities: tuple[str, ...]
) -> None:
    """One request in ten gets a 500, which says nothing about what happened."""
    request = _request(rig)
    with rehearsed.told(Faults(fail_rate=0.1, capabilities=capabilities)):
        summary = rig.run(request)
    _right(rig, request, summary)


def test_a_locked_atlas_is_waited_for(
    rehearsed: RehearsedAtlas, rig: RealRig, caplog: pytest.LogCaptureFixture
) -> None:
    request = _request(rig)
    locked = Faults(locked_atlases=frozenset({rig.atlas_id}))
    unlock = threading.Timer(1.5, rehearsed.turn, [Faults()])

    def lock() -> None:
        rehearsed.turn(locked)
        unlock.start()

    rig.hook = at_passing(Point.ANSWERED, 10, lock)
    with (
        rehearsed.told(Faults()),
        open_session(request, rig.surroundings(), hook=rig.hook) as session,
    ):
        session.freeze()
        notes: set[str] = set()
        with _watched(lambda: notes.add(session.progress().note)):
            for shard in session.open_shards():
                session.run_shard(shard)
        summary = session.finish()
        unlock.join()
    assert any("ocked" in note for note in notes), f"nobody was told why it waits: {notes}"
    _right(rig, request, summary)


class _Repeating(threading.Thread):
    """Does something again and again until it is stopped."""

    def __init__(self, act: Callable[[], object], seconds: float) -> None:
        super().__init__(daemon=True)
        self._act, self._seconds = act, seconds
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._seconds):
            self._act()

    def end(self) -> None:
        self._ended.set()
        self.join()


@contextmanager
def _watched(act: Callable[[], object], seconds: float = 0.05) -> Iterator[None]:
    thread = _Repeating(act, seconds)
    thread.start()
    try:
        yield
    finally:
        thread.end()


@CAPABILITIES
def test_the_s3_process_is_killed_mid_run(
    rehearsed: RehearsedAtlas, rig: RealRig, capabilities: tuple[str, ...]
) -> None:
    rig.hook = at_passing(Point.ANSWERED, 15, rehearsed.kill_s3)
    request = _request(rig)
    with rehearsed.told(Faults(capabilities=capabilities)):
        summary = rig.run(request)
    _right(rig, request, summary)


def test_storage_credentials_end_mid_run(rehearsed: RehearsedAtlas, rig: RealRig) -> None:
    """The store refuses them long before the time that the service named."""
    request = _request(rig, concurrency=2, shard_size=10)
    rehearsed.tokens.seconds = 1.0
    before = rehearsed.tokens.issued
    try:
        with rehearsed.told(Faults(delay_ms=60)):
            summary = rig.run(request)
    finally:
        rehearsed.tokens.seconds = None
    assert rehearsed.tokens.issued - before > 1, "no credentials ended during the run"
    _right(rig, request, summary)


def test_the_server_is_killed_mid_run_and_comes_back(tmp_path: Path) -> None:
    with running_atlas(tmp_path / "data", "--atlas", "9") as server:
        rig = RealRig(server, tmp_path, atlas_id="9", read_timeout=5.0)
        rig.fill(NUMBER)
        due = threading.Event()
        rig.hook = at_passing(Point.ANSWERED, 20, due.set)
        request = _request(rig)
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(rig.run, request)
            assert due.wait(60)
            server.kill()
            # It lives as long as the thread that started it: this one.
            server.start()
            summary = running.result(100)
        _right(rig, request, summary)


# -- other people ---------------------------------------------------------------------------


class _Edit(NamedTuple):
    dataset_id: str
    metadata: JsonObject


class _Editor:
    """Someone who edits datasets of an atlas by reading, changing and writing them, all the time.

    What they write is seen to be theirs; they never look whether someone else wrote meanwhile.
    """

    def __init__(self, rig: RealRig, seed: int) -> None:
        self._rig = rig
        self._chance = random.Random(seed)
        self._client = connected(rig.server, rig.atlas_id)
        self._caller = WireCaller(rig.server.api_url, rig.server.api_key)
        self.edits: list[_Edit] = []

    def edit(self, dataset_id: str | None = None) -> None:
        name = dataset_id or f"D{self._chance.randrange(NUMBER):04}"
        reader = self._client.reader
        found = reader.metadata(reader.dataset(name))  # type: ignore[arg-type]
        changed = {**found, "curated": len(self.edits)}
        answer = self._caller.update(self._rig.atlas_id, name, changed)
        assert answer.status == 200, answer.body
        self.edits.append(_Edit(name, changed))

    def close(self) -> None:
        self._client.close()
        self._caller.close()


def _every_edit_is_kept_or_reported(
    rig: RealRig, request: RunRequest, edits: list[_Edit], *, checked: bool
) -> None:
    """By the histories alone, which are immutable."""
    client = connected(rig.server, rig.atlas_id)
    recorded = ingestions(rig.server, rig.atlas_id, request.run_id)
    ours = {one.dataset_id: one.version_id for one in recorded}
    assert len(ours) == len(recorded), "a dataset was written twice"
    try:
        for row in rig.items(request):
            versions = client.reader.versions(row.dataset_id)[::-1]
            ids = [version.version_id for version in versions]
            contents = [client.reader.metadata(version) for version in versions]
            for edit in (edit for edit in edits if edit.dataset_id == row.dataset_id):
                assert edit.metadata in contents, "an edit is gone from the history"
            if row.dataset_id not in ours:
                assert row.state not in {ItemState.APPLIED, ItemState.CONFLICT}
                assert row.version_after is None
                continue
            assert row.version_after == ours[row.dataset_id]
            assert row.version_seen is not None
            assert row.version_after is not None
            place = ids.index(row.version_after)
            seen = ids.index(row.version_seen)
            assert contents[place] == {**contents[seen], **DONE}, "not what was planned"
            between = ids[seen + 1 : place]
            if checked:
                assert (row.state is ItemState.CONFLICT) == bool(between)
                assert all(one in row.reasons[0] for one in between)
            else:
                assert row.state is ItemState.APPLIED
                assert between == [], "an edit was overwritten"
    finally:
        client.close()


@CAPABILITIES
def test_others_edit_between_plan_write_and_verification(
    rehearsed: RehearsedAtlas, rig: RealRig, capabilities: tuple[str, ...]
) -> None:
    editor = _Editor(rig, seed=1)
    request = _request(rig, concurrency=4, barrier=True, budget={"value": NUMBER})
    faults = Faults(delay_ms=10, capabilities=capabilities)
    try:
        with rehearsed.told(faults), open_session(request, rig.surroundings()) as session:
            session.freeze()
            session.plan()
            editor.edit("D0001")
            with _watched(editor.edit, 0.01):
                for shard in session.open_shards():
                    session.run_shard(shard)
            summary = session.finish()
    finally:
        editor.close()
    assert summary.state is RunState.FINISHED
    assert rig.states(request)[ItemState.DRIFTED] >= 1
    assert len(editor.edits) > 5, "nobody edited anything"
    hosted = capabilities == HOSTED.capabilities
    _every_edit_is_kept_or_reported(rig, request, editor.edits, checked=hosted)
    drifted = [row for row in rig.items(request) if row.state is ItemState.DRIFTED]
    assert "D0001" in {row.dataset_id for row in drifted}
    for row in drifted:
        made = history(rig.server, rig.atlas_id, row.dataset_id)
        assert not any("reviewed" in metadata for metadata in made)


def test_everything_at_once_and_killed(
    rehearsed: RehearsedAtlas, rig: RealRig, tmp_path: Path
) -> None:
    """Lost answers, errors and refusals, kill -9 in the middle, and again at the resume."""
    request = _request(rig)
    faults = Faults(drop_rate=0.1, fail_rate=0.05, reject_above=150)
    with rehearsed.told(faults):
        for passing in (12, 9):
            job = Job(request, rig.surroundings(), at=Point.ANSWERED, passing=passing)
            with carrying_out(job) as process:
                assert exit_code(process) == -9
        summary = rig.take_up(request)
    _right(rig, request, summary)
