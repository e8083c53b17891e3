"""The ledger: what is about to happen is in it before it happens, what happened right after.

Every method is one transaction: it happens as a whole or, whatever dies, not at all. Every method
may raise ``LedgerUnavailable`` (locked, unreachable, disk full); the same call may be made again
then, also when the first one had in truth succeeded and only its answer was lost.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self
from uuid import uuid4

from polly_core.ledger import (
    approving,
    claims,
    commits,
    control,
    executions,
    history,
    items,
    leases,
    runs,
    selecting,
)
from polly_core.ledger.database import Database
from polly_core.ledger.migration import bring_up_to_date
from polly_core.ledger.rows import (
    Approved,
    Batch,
    Claim,
    Control,
    ExecutionRow,
    Holders,
    ItemRow,
    NewShard,
    Pace,
    PlanRow,
    RunRow,
    ShardNo,
    ShardRow,
    Standing,
)
from polly_core.models.catalog import (
    CatalogRef,
    DatasetId,
    RunId,
    StudyId,
    VersionId,
)
from polly_core.models.run import (
    RETRIED,
    Counts,
    ExecutionId,
    ItemState,
    RunOptions,
    RunSpec,
    RunState,
    StopReason,
)


def open_ledger(
    url: str, *, wait_seconds: float = 10.0, new_id: Callable[[], str] = lambda: str(uuid4())
) -> "Ledger":
    """Open the ledger at a SQLAlchemy URL (SQLite file or PostgreSQL); create it where it is new.

    An older schema is migrated. ``wait_seconds`` bounds each wait for a lock or a connection.

    Raises:
        InvalidInput: the URL is not one of a SQLite file or of PostgreSQL.
        LedgerVersionError: a newer program wrote it, or the tables are not ours.
        LedgerUnavailable: it cannot be reached.
    """
    database = Database(url, wait_seconds=wait_seconds)
    try:
        bring_up_to_date(database)
    except BaseException:
        database.close()
        raise
    return Ledger(database, new_id=new_id)


class Ledger:
    """Thread-safe. Closing it ends no execution; that is ``end_execution``."""

    def __init__(self, database: Database, *, new_id: Callable[[], str]) -> None:
        self._database = database
        self._new_id = new_id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self._database.name})"

    @property
    def name(self) -> str:
        """Where it is, without password."""
        return self._database.name

    @property
    def reaches_other_hosts(self) -> bool:
        """Whether processes on several machines may share it."""
        return self._database.reaches_other_hosts

    def close(self) -> None:
        """Give up every connection."""
        self._database.close()

    # ------------------------------------------------------------------ runs

    def create_run(
        self,
        run_id: RunId,
        spec: RunSpec,
        options: RunOptions,
        *,
        flow_run_id: str | None = None,
        origin: RunId | None = None,
    ) -> RunRow:
        """Register a run, or find it where it was registered with the same spec.

        A flow run id is added to those of the run in either case; options and origin of a run that
        exists stay as they are (``set_options``). ``origin`` is the run that this one undoes, or
        repeats a part of.

        Raises:
            RunMismatch: the id was used for another spec.
            RunNotFound: there is no such origin.
        """
        with self._database.writing() as tx:
            return runs.create(tx, run_id, spec, options, flow_run_id=flow_run_id, origin=origin)

    def run(self, run_id: RunId) -> RunRow:
        """The run. Raises ``RunNotFound``."""
        with self._database.reading() as tx:
            return runs.get(tx, run_id)

    def find_run(self, text: str) -> RunRow:
        """The run with this id, or the only one whose id begins so (8 characters or more).

        Raises:
            RunNotFound: there is none.
            InvalidInput: the text is too short, or several ids begin so.
        """
        with self._database.reading() as tx:
            return runs.find(tx, text)

    def runs(self, limit: int = 50) -> list[RunRow]:
        """Runs, newest first."""
        with self._database.reading() as tx:
            return runs.newest(tx, limit)

    def runs_of_origin(self, run_id: RunId) -> list[RunRow]:
        """Runs that name this one as their origin, oldest first."""
        with self._database.reading() as tx:
            return runs.of_origin(tx, run_id)

    def set_state(
        self,
        run_id: RunId,
        state: RunState,
        *,
        stop: StopReason | None = None,
        message: str = "",
        broken: int = 0,
    ) -> None:
        """Say where the run is. ``FINISHED`` records when.

        Args:
            broken: written datasets that verification found not as promised or asserted.

        Raises:
            LedgerError: the state needs a frozen selection, or would reopen one.
        """
        with self._database.writing() as tx:
            runs.set_state(tx, run_id, state, stop=stop, message=message, broken=broken)

    def set_plan_digest(self, run_id: RunId, digest: str) -> None:
        """Record the digest of the planned items."""
        with self._database.writing() as tx:
            runs.change(tx, run_id, {"plan_digest": digest})

    def set_options(self, run_id: RunId, options: RunOptions) -> None:
        """Replace how the run is executed, as a resume may."""
        with self._database.writing() as tx:
            runs.change(tx, run_id, {"options": options.model_dump_json()})

    def add_flow_run(self, run_id: RunId, flow_run_id: str) -> None:
        """Record a flow run of the run; once, however often it is said."""
        with self._database.writing() as tx:
            runs.add_flow_run(tx, run_id, flow_run_id)

    # ------------------------------------------------------------- approvals

    def approve(self, run_id: RunId, plan_digest: str, wave: int, by: str) -> None:
        """Record the approval of a plan (wave 0) or of one of its waves (from 1).

        The first approval of each stays; a further one changes nothing.

        Raises:
            RunMismatch: the run's plan is another than the one approved.
            LedgerError: the run has no plan yet.
            InvalidInput: it does not say who approves.
        """
        with self._database.writing() as tx:
            approving.approve(tx, run_id, plan_digest, wave, by)

    def approvals(self, run_id: RunId) -> list[Approved]:
        """Approvals of the run, oldest first; those of earlier plans as well."""
        with self._database.reading() as tx:
            return approving.of_run(tx, run_id)

    # ------------------------------------------------------------- selection

    def add_shard(self, run_id: RunId, shard: NewShard) -> None:
        """Freeze one shard's items. The same shard again changes nothing.

        Raises:
            LedgerError: the selection is sealed, the items do not follow on those frozen so far,
                or an item is in the selection already.
        """
        with self._database.writing() as tx:
            selecting.add_shard(tx, run_id, shard)

    def discard_selection(self, run_id: RunId) -> None:
        """Drop what an interrupted selection left, to begin it again.

        Raises:
            LedgerError: the selection is sealed.
        """
        with self._database.writing() as tx:
            selecting.discard(tx, run_id)

    def seal(self, run_id: RunId) -> int:
        """End the selection (point c1) and answer its total. Sealing again changes nothing."""
        with self._database.writing() as tx:
            return selecting.seal(tx, run_id)

    # ------------------------------------------------------------ executions

    def begin_execution(self, run_id: RunId, *, process: str, lease_seconds: float) -> ExecutionId:
        """Register a process that executes the run; it lives for so long unless renewed."""
        with self._database.writing() as tx:
            return executions.begin(
                tx, run_id, ExecutionId(self._new_id()), process, lease_seconds=lease_seconds
            )

    def renew_execution(self, execution_id: ExecutionId, *, lease_seconds: float) -> None:
        """Let it live for so long from now, by the database's clock.

        Raises:
            OwnershipLost: it was ended, declared dead, or has expired; it must stop.
        """
        with self._database.writing() as tx:
            executions.renew(tx, execution_id, lease_seconds=lease_seconds)

    def tell_pace(self, execution_id: ExecutionId, pace: Pace) -> None:
        """Let others know how fast it goes; of one that has ended nobody wants to know."""
        with self._database.writing() as tx:
            executions.tell_pace(tx, execution_id, pace)

    def end_execution(self, execution_id: ExecutionId) -> None:
        """Free its shards and leases and add its time to the run's; once."""
        with self._database.writing() as tx:
            executions.end(tx, execution_id)

    def declare_dead(self, execution_id: ExecutionId) -> None:
        """End an execution whose process is known to be gone, before it expires."""
        self.end_execution(execution_id)

    def executions(self, run_id: RunId, *, living: bool = False) -> list[ExecutionRow]:
        """Executions of the run, oldest first; ``living``: neither ended nor expired."""
        with self._database.reading() as tx:
            return executions.of_run(tx, run_id, living=living)

    # ---------------------------------------------------------------- shards

    def shards(self, run_id: RunId, *, open_only: bool = False) -> list[ShardRow]:
        """Shards in order; ``open_only``: those not done."""
        with self._database.reading() as tx:
            return claims.shards(tx, run_id, open_only=open_only)

    def claim_shard(self, run_id: RunId, shard: ShardNo, execution_id: ExecutionId) -> Claim:
        """Own the shard (point c2). Every earlier claim of it is void from then on.

        Raises:
            RunBusy: another execution owns it and lives.
            OwnershipLost: this execution is not living.
        """
        with self._database.writing() as tx:
            return claims.claim(tx, run_id, shard, execution_id)

    def finish_shard(self, claim: Claim) -> bool:
        """Give the shard up; answer whether it is done: nothing selected, planned, sent or unknown.

        Raises:
            OwnershipLost: another execution has taken over.
        """
        with self._database.writing() as tx:
            return claims.finish(tx, claim)

    def reopen(self, run_id: RunId, *, states: Iterable[ItemState] = RETRIED) -> int:
        """Put items that ended so back to ``selected``, to be planned again; answer how many.

        Raises:
            RunBusy: a living execution owns one of their shards.
            LedgerError: one of the states cannot be planned again.
        """
        with self._database.writing() as tx:
            return commits.reopen(tx, run_id, frozenset(states))

    # ---------------------------------------------------------------- leases

    def lease(self, claim: Claim, dataset_ids: Sequence[DatasetId]) -> Holders:
        """Lease as many as can be had; answer who holds the others.

        A lease is worth as much as its execution lives. Those of ended and expired executions are
        taken over, and so are those of the same run.

        Raises:
            OwnershipLost: another execution has taken over.
        """
        with self._database.writing() as tx:
            return leases.take(tx, claim, dataset_ids)

    def release(self, claim: Claim, dataset_ids: Sequence[DatasetId]) -> None:
        """Give leases up. One that a further open file of the run needs stays."""
        with self._database.writing() as tx:
            leases.release(tx, claim.run_id, dataset_ids)

    # ----------------------------------------------------------------- items

    def record_plans(self, claim: Claim, plans: Sequence[PlanRow]) -> None:
        """Commit what was decided for items (point c4).

        Raises:
            OwnershipLost: another execution has taken over.
            LedgerError: an item is in a state that cannot be planned; it is named.
        """
        with self._database.writing() as tx:
            commits.record_plans(tx, claim, plans)

    def commit(self, claim: Claim, batch: Batch) -> Standing:
        """Commit steps, outcomes, sent, verified and freed; answer the run's totals and control.

        Steps are those of items that are planned, sent or unknown before this commit.

        A batch that was committed before (its answer was lost) changes nothing.

        Raises:
            OwnershipLost: another execution has taken over.
            LedgerError: an item may not go from its state to the one given, both are named; or a
                step of it is recorded with another result.
        """
        with self._database.writing() as tx:
            commits.commit(tx, claim, batch)
            return control.standing(tx, claim.run_id)

    def items(
        self,
        run_id: RunId,
        *,
        states: Iterable[ItemState] | None = None,
        shard: ShardNo | None = None,
        dataset_ids: Iterable[DatasetId] | None = None,
        after: int = -1,
        limit: int | None = None,
        plans: bool = True,
    ) -> Iterator[ItemRow]:
        """Items by ``seq``, read as they are asked for; no transaction stays open between.

        Datasets that the run does not have are left out.
        Without ``plans`` each row's ``planned`` is None and its ``done`` empty, which is much less
        work.
        """
        wanted = items.Wanted(
            run_id=run_id,
            states=None if states is None else frozenset(states),
            shard=shard,
            plans=plans,
            dataset_ids=None if dataset_ids is None else frozenset(dataset_ids),
        )
        return items.stream(self._database, wanted, after=after, limit=limit)

    def item(self, run_id: RunId, seq: int) -> ItemRow:
        """One item. Raises ``LedgerError`` where there is none."""
        with self._database.reading() as tx:
            return items.get(tx, run_id, seq)

    def planned_count(self, run_id: RunId) -> int:
        """How many items have a plan, whatever became of them since."""
        with self._database.reading() as tx:
            return items.planned_count(tx, run_id)

    def nth_planned(self, run_id: RunId, n: int) -> int | None:
        """``seq`` of the n-th (from 0) item that has a plan; None where there are not so many."""
        with self._database.reading() as tx:
            return items.nth_planned(tx, run_id, n)

    # --------------------------------------------------------------- history

    def last_copies(
        self, source: CatalogRef, target: CatalogRef, dataset_ids: Collection[DatasetId]
    ) -> Mapping[DatasetId, history.Copied]:
        """The newest applied copies of each dataset from one atlas to another of the service.

        Datasets never copied are left out.
        """
        with self._database.reading() as tx:
            return history.last_copies(tx, source, target, dataset_ids)

    def studies_seen(
        self, catalog: CatalogRef, dataset_ids: Collection[DatasetId]
    ) -> Mapping[DatasetId, Mapping[VersionId, StudyId | None]]:
        """The study that runs last knew each dataset to be in, at each version they knew.

        None is out of any study; what no run saw or made is left out.
        """
        with self._database.reading() as tx:
            return history.studies_seen(tx, catalog, dataset_ids)

    # --------------------------------------------------------------- control

    def standing(self, run_id: RunId) -> Standing:
        """The run's totals and control."""
        with self._database.reading() as tx:
            return control.standing(tx, run_id)

    def counts(self, run_id: RunId) -> Counts:
        """The run's items by state."""
        with self._database.reading() as tx:
            return control.counts(tx, run_id)

    def control(self, run_id: RunId) -> Control:
        """What an operator wants of the run."""
        with self._database.reading() as tx:
            return control.get(tx, run_id)

    def set_control(self, run_id: RunId, wanted: Control) -> None:
        """Say what is wanted of the run; a running one reads it at its next commit."""
        with self._database.writing() as tx:
            control.put(tx, run_id, wanted)
