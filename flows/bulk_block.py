"""One block of a run that is spread over several workers, as a Prefect flow."""

from functools import partial

from prefect import State, runtime

from flows.blocks import Block, BlockEnd
from flows.catalogue import shard_task_of
from flows.skeleton import Course, as_bulk, in_words, own_run_id, under_way
from flows.states import block_state
from polly_core.engine.blocks import BlockRange
from polly_core.engine.request import RunRequest
from polly_core.engine.session import Session
from polly_core.errors import InvalidInput
from polly_core.models.catalog import RunId
from polly_core.models.run import RunState, StopReason
from tasks.credentials import surroundings


def block_name() -> str:
    """Names a flow run by its run and its shards; called when it starts."""
    (block,) = runtime.flow_run.parameters.values()
    return f"block-{block.run_id}-{block.first}-{block.last}"


@as_bulk("bulk-block", block_name)
def bulk_block(block: Block) -> State[object]:
    """Take some shards of a run to their end; a flow run with 'spread' starts it.

    It neither selects nor plans, and it does not finish the run: that is for the flow run that
    started it. Alone it does nothing: a run that nobody executes is taken up by its own id.
    """
    return in_words(lambda: _taken(block))


def _taken(block: Block) -> State[object]:
    request = RunRequest(run_id=RunId(block.run_id), flow_run_id=own_run_id())
    with under_way(request, surroundings(block.credentials)) as course:
        session = course.session
        found = block_of(session, block)
        course.see_through(partial(work, course, found))
        end = end_of(session, found)
        course.teller.progress(session.progress(), now=True)
        course.teller.block(end)
        course.teller.reconcile()
    return block_state(end)


def block_of(session: Session, block: Block) -> BlockRange:
    """The block, as its run has it.

    Raises:
        InvalidInput: the run has no such shards, or no such wave.
    """
    waves = [wave for wave in session.waves() if wave.number == block.wave]
    found = session.blocks.block(waves[0], block.first, block.last) if waves else None
    if found is None or not found.items:
        raise InvalidInput(
            f"run {block.run_id} has no shards {block.first} to {block.last} in wave "
            f"{block.wave}; blocks are made by a flow run with run.spread, and not by hand"
        )
    return found


def work(course: Course, block: BlockRange) -> None:
    """Let its shards run."""
    session = course.session
    if session.run.state is not RunState.RUNNING:
        session.stop(
            StopReason.CANCELLED,
            f"the run is {session.run.state} and nobody waits for this block, nothing was done",
        )
        return
    shard_task = shard_task_of(session.operation)
    shards = session.take_block(block)
    course.watch.see_to([shard_task.submit(session.run_id, shard) for shard in shards])


def end_of(session: Session, block: BlockRange) -> BlockEnd:
    """How it stands in the ledger."""
    return BlockEnd(
        run_id=session.run_id,
        block=str(block),
        counts=session.blocks.counts(block),
        through=not session.blocks.is_open(block),
        stop=session.stopping,
        message=session.stop_message,
    )
