"""What happens to a run as a whole before its shards: select and plan."""

from prefect import State

from polly_core.models.run import Counts
from tasks.base import core_task, said, session_of


@core_task(name="select", run_name="select")
def select(run_id: str) -> None:
    """Freeze which items the run is about. A run that is taken up keeps what it has."""
    with session_of(run_id) as session:
        session.freeze()


@core_task(name="plan", run_name="plan")
def plan(run_id: str) -> State[Counts]:
    """Plan and validate every item before the first write. What is planned stays planned."""
    with session_of(run_id) as session:
        session.plan()
        return said(session.progress().counts)
