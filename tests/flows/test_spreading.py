"""A flow run that spreads its run: what it does about its children, on a real Prefect server.

No worker takes them here; the test does what workers and people do.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Cancelling, Completed, Crashed, Failed, Running

from flows.blocks import Block, BlockEnd
from flows.bulk_block import bulk_block
from flows.children import DEPLOYMENT, check_spread, children_of, tag_of, why_late
from flows.limits import Slots
from flows.spreading import ATTEMPTS, Spreading
from flows.telling import Teller
from polly_core.engine.meter import Progress
from polly_core.engine.request import RunRequest
from polly_core.engine.session import Session, open_session
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.ledger.ledger import open_ledger
from polly_core.ledger.rows import Wanted
from polly_core.models.catalog import AtlasId, RunId
from polly_core.models.run import Counts, ItemState, RunOptions, RunState, StopReason
from polly_core.settings import Settings
from tasks.credentials import surroundings
from tests.flows.conftest import RENAME, Bench, human
from tests.support.deployed import forget
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.timeout(200)


@pytest.fixture
def deployment(bench: Bench) -> Iterator[None]:
    """The deployment of the blocks, without a work pool."""
    flow_id = bench.client.create_flow(bulk_block)
    found = bench.client.create_deployment(flow_id, DEPLOYMENT.partition("/")[2])
    yield
    bench.client.delete_deployment(found)


@dataclass
class World:
    """A planned run of two blocks, and somebody who acts on the flow runs of its blocks."""

    session: Session
    client: SyncPrefectClient
    slots: Slots = field(default_factory=lambda: Slots(1))

    @property
    def run_id(self) -> RunId:
        return self.session.run_id

    def spreading(self, act: Callable[[FlowRun], None]) -> Spreading:
        """Acts on every flow run that has not ended, each time progress is shown."""

        def show(_progress: Progress) -> None:
            for run in self.children():
                if run.state is not None and not run.state.is_final():
                    act(run)

        return Spreading(
            self.session, self.slots, items=10, credentials="", show=show, poll_seconds=0.1
        )

    def spread(self, act: Callable[[FlowRun], None]) -> Spreading:
        """Let the run be spread until every block is through, or it stops."""
        spreading = self.spreading(act)
        (wave,) = self.session.waves()

        @flow(name="bulk-probe")
        def parent() -> None:
            with self.slots:
                spreading.see_to(wave)

        parent()
        return spreading

    def children(self) -> list[FlowRun]:
        """Those that were asked for; what a worker does here is a flow run of its own."""
        found = children_of(self.client, self.run_id)
        return [run for run in found if run.idempotency_key]

    def ends(self, state: State[object]) -> Callable[[FlowRun], None]:
        """Every flow run ends so."""
        return lambda run: self.end(run, state)

    def end(self, run: FlowRun, state: State[object]) -> None:
        self.client.set_flow_run_state(run.id, state, force=True)

    def says(self, run: FlowRun, stop: StopReason, message: str) -> None:
        """What a block's flow run leaves behind."""
        end = BlockEnd(
            run_id=self.run_id,
            block="shards 0-0",
            counts=Counts(),
            through=False,
            stop=stop,
            message=message,
        )
        Teller(str(run.id)).block(end)

    def do(self, run: FlowRun) -> None:
        """What a worker does."""
        state = bulk_block(Block.model_validate(run.parameters["block"]), return_state=True)
        self.end(run, Completed(message=state.message))


@pytest.fixture
def world(bench: Bench, deployment: None) -> Iterator[World]:
    bench.fill(human(20))
    request = RunRequest(
        run_id=RunId(str(uuid4())),
        atlas_id=AtlasId(bench.atlas_id),
        change=RENAME,
        options=RunOptions(shard_size=10, concurrency=2),
        barrier=True,
    )
    with open_session(request, surroundings()) as session:
        session.freeze()
        session.plan()
        yield World(session, bench.client)


def test_blocks_are_done_and_each_says_its_counts(world: World) -> None:
    world.spread(world.do)
    assert world.session.stopping is None
    assert world.session.finish().counts.by_state == {ItemState.APPLIED: 20}
    said = {str(run.state.message) for run in world.children() if run.state is not None}
    assert said == {
        f"ingestion_run_id={world.run_id} shard {shard}: ok=10/10 failed=0" for shard in (0, 1)
    }
    keys = {f"{world.run_id}-1-{shard}-{shard}-1" for shard in (0, 1)}
    assert {run.idempotency_key for run in world.children()} == keys
    assert all(tag_of(world.run_id) in run.tags for run in world.children())


def test_a_block_that_crashes_again_and_again_stops_the_run(world: World) -> None:
    world.spread(world.ends(Crashed(message="killed")))
    stop = world.session
    assert stop.stopping is StopReason.CANNOT_PROCEED
    assert "shard 0 did not come to an end in 3 flow runs; the last, " in stop.stop_message
    assert stop.stop_message.endswith("is Crashed: killed")
    assert 2 * ATTEMPTS - 1 <= len(world.children()) <= 2 * ATTEMPTS


def test_a_block_that_crashed_once_is_done_by_another(world: World) -> None:
    crashed: set[UUID] = set()

    def act(run: FlowRun) -> None:
        if crashed:
            world.do(run)
        else:
            crashed.add(run.id)
            world.end(run, Crashed())

    world.spread(act)
    assert world.session.stopping is None
    names = sorted(str(run.state_name) for run in world.children())
    assert names == ["Completed", "Completed", "Crashed"]


@pytest.mark.parametrize("reason", [StopReason.BUDGET, StopReason.CANNOT_PROCEED])
def test_what_stops_a_block_stops_the_run(world: World, reason: StopReason) -> None:
    def act(run: FlowRun) -> None:
        world.says(run, reason, "no more of this")
        world.end(run, Failed())

    world.spread(act)
    assert world.session.stopping is reason
    assert "no more of this" in world.session.stop_message
    assert len(world.children()) == 2


def test_a_worker_that_ends_takes_nothing_but_time(world: World) -> None:
    """Its flow runs are told to stop, and nobody has cancelled them."""
    told: set[UUID] = set()

    def act(run: FlowRun) -> None:
        if told:
            world.do(run)
            return
        told.add(run.id)
        world.says(run, StopReason.CANCELLED, "cancelled")
        world.end(run, Running())
        world.end(run, Cancelled())

    world.spread(act)
    assert world.session.stopping is None
    assert len(world.children()) == 3


def test_somebody_who_cancels_a_block_means_the_run(world: World) -> None:
    world.spread(lambda run: world.end(run, Cancelling()))
    assert world.session.stopping is StopReason.CANCELLED
    assert "was cancelled in Prefect" in world.session.stop_message


def test_blocks_under_way_are_taken_over_and_those_that_ended_get_another_key(
    world: World,
) -> None:
    """As after a kill of the flow run that waited for them."""

    def die(_run: FlowRun) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        world.spread(die)
    first, second = world.children()
    world.end(first, Crashed())
    world.spread(world.do)
    assert world.session.stopping is None
    after = {run.id: run for run in world.children()}
    assert len(after) == 3
    assert after[first.id].state_name == "Crashed"
    assert after[second.id].state_name == "Completed"


def test_a_stop_cancels_what_waits_and_reaches_what_runs(world: World) -> None:
    def stop(_run: FlowRun) -> None:
        world.session.stop(StopReason.INTERRUPTED, "interrupted")

    spreading = world.spread(stop)
    with open_ledger(Settings().ledger()) as ledger:
        spreading.call_off()
        assert ledger.control(world.run_id).wanted is Wanted.CANCEL
        assert {run.state_name for run in world.children()} == {"Cancelled"}
        assert world.session.finish().state is RunState.STOPPED
        spreading.close()
        assert ledger.control(world.run_id).wanted is Wanted.RUN


def test_a_block_of_a_run_that_nobody_executes_does_nothing(world: World) -> None:
    block = Block(run_id=world.run_id, first=0, last=0)
    state = bulk_block(block, return_state=True)
    assert state.name == "Cancelled"
    assert "the run is planned and nobody waits for this block" in str(state.message)
    world.session.open_shards()
    world.session.blocks.give_up()
    with pytest.raises(InvalidInput, match="has no shards 7 to 8 in wave 1"):
        bulk_block(Block(run_id=world.run_id, first=7, last=8))
    assert world.session.progress().counts.processed == 0


def test_a_ledger_in_a_file_is_refused_before_anything_is_begun(bench: Bench) -> None:
    bench.fill(human(1))
    with pytest.raises(CannotProceed, match=r"found sqlite://.*PostgreSQL"):
        bench.update(spread=20)
    with open_ledger(Settings().ledger()) as ledger:
        assert ledger.runs() == []


def test_without_the_deployment_it_is_refused(bench: Bench) -> None:
    forget(bench.client)
    with PostgresServer() as server, pytest.raises(CannotProceed, match="polly-bulk deploy"):
        check_spread(server.url)


def test_why_no_block_begins_is_told_with_what_to_do(bench: Bench) -> None:
    pool = f"pool-{uuid4().hex[:8]}"
    bench.client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
    try:
        queue = bench.client.create_work_queue("blocks", work_pool_name=pool)
        deployment = bench.client.create_deployment(
            *(bench.client.create_flow(bulk_block), "block"),
            work_pool_name=pool,
            work_queue_name="blocks",
        )
        run = bench.client.create_flow_run_from_deployment(deployment)
        run = bench.client.read_flow_run(run.id)
        assert f"prefect worker start --pool {pool}" in why_late(bench.client, run)
        bench.client.update_work_queue(queue.id, is_paused=True)
        assert f"work-queue resume blocks --pool {pool}" in why_late(bench.client, run)
        bench.client.delete_deployment(deployment)
    finally:
        bench.client.delete_work_pool(pool)
