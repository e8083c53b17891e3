"""Runs: what each does, how far it is."""

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, func, select, update

from polly_core.errors import InvalidInput, LedgerError, RunMismatch, RunNotFound
from polly_core.ledger import schema
from polly_core.ledger.database import Transaction
from polly_core.ledger.rows import RunRow, Wanted
from polly_core.ledger.texts import (
    catalog_key,
    from_text,
    list_to_text,
    maybe_moment,
    moment,
    plain,
    texts,
    to_text,
)
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import canonical_json
from polly_core.models.run import OperationName, RunOptions, RunSpec, RunState, StopReason

SHORTEST_PREFIX = 8
_BEFORE_FROZEN = frozenset({RunState.SELECTING, RunState.STOPPED})
_RUN = schema.runs.c
_REGISTER = schema.insert_if_absent(schema.runs)
_REGISTER_CONTROL = schema.insert_if_absent(schema.control)


def create(
    tx: Transaction,
    run_id: RunId,
    spec: RunSpec,
    options: RunOptions,
    *,
    flow_run_id: str | None,
    origin: RunId | None,
) -> RunRow:
    """Register a run, or find it where it was registered with the same spec."""
    if not run_id:
        raise InvalidInput("a run needs an id; give a UUID or leave it to be made")
    if origin is not None:
        ensure_exists(tx, origin)
    tx.execute(
        _REGISTER,
        {
            "run_id": run_id,
            "catalog_key": catalog_key(spec.catalog),
            "spec": to_text(spec),
            "spec_digest": spec.digest(),
            "options": to_text(options),
            "state": RunState.SELECTING.value,
            "stop": None,
            "message": "",
            "plan_digest": None,
            "total": None,
            "created_at": tx.now(),
            "finished_at": None,
            "seconds": 0.0,
            "flow_run_ids": "[]",
            "origin_run_id": origin,
            "copies_from": _copies_from(spec),
            "broken": 0,
        },
    )
    control = {"run_id": run_id, "wanted": Wanted.RUN.value, "concurrency": None}
    tx.execute(_REGISTER_CONTROL, control)
    found = get(tx, run_id)
    if found.spec_digest != spec.digest():
        raise RunMismatch(_mismatch(found, spec))
    if flow_run_id is not None:
        add_flow_run(tx, run_id, flow_run_id)
    return get(tx, run_id)


def get(tx: Transaction, run_id: RunId) -> RunRow:
    """The run. Raises ``RunNotFound``."""
    row = tx.execute(select(schema.runs).where(_RUN.run_id == run_id)).one_or_none()
    if row is None:
        raise _not_found(run_id)
    return _run(row)


def find(tx: Transaction, text: str) -> RunRow:
    """The run with this id, or the only one whose id begins so."""
    begins_so = func.substr(_RUN.run_id, 1, len(text)) == text
    found = tx.execute(select(schema.runs).where(begins_so).order_by(_RUN.run_id).limit(6)).all()
    whole = [row for row in found if row.run_id == text]
    if whole:
        return _run(whole[0])
    if len(text) < SHORTEST_PREFIX:
        raise InvalidInput(
            f"{text!r} is too short for a run id: give {SHORTEST_PREFIX} characters or more"
        )
    if not found:
        raise _not_found(text)
    if len(found) > 1:
        ids = ", ".join(row.run_id for row in found[:5]) + (", …" if len(found) > 5 else "")
        raise InvalidInput(f"several runs begin with {text!r}: {ids}; give more of the id")
    return _run(found[0])


def newest(tx: Transaction, limit: int) -> list[RunRow]:
    """Runs, newest first."""
    order = (_RUN.created_at.desc(), _RUN.run_id)
    return [_run(row) for row in tx.execute(select(schema.runs).order_by(*order).limit(limit))]


def of_origin(tx: Transaction, run_id: RunId) -> list[RunRow]:
    """Runs that name this one as their origin, oldest first."""
    ensure_exists(tx, run_id)
    statement = select(schema.runs).where(_RUN.origin_run_id == run_id)
    return [_run(row) for row in tx.execute(statement.order_by(_RUN.created_at, _RUN.run_id))]


def change(tx: Transaction, run_id: RunId, values: Mapping[str, object]) -> None:
    """Set columns of a run. Raises ``RunNotFound``."""
    changed = tx.execute(update(schema.runs).where(_RUN.run_id == run_id).values(**values))
    if changed.rowcount == 0:
        raise _not_found(run_id)


def lock(tx: Transaction, run_id: RunId) -> RunRow:
    """The run, as it will stay until this transaction ends."""
    statement = select(schema.runs).where(_RUN.run_id == run_id).with_for_update(key_share=True)
    row = tx.execute(statement).one_or_none()
    if row is None:
        raise _not_found(run_id)
    return _run(row)


def set_state(
    tx: Transaction,
    run_id: RunId,
    state: RunState,
    *,
    stop: StopReason | None,
    message: str,
    broken: int,
) -> None:
    """Say where the run is."""
    frozen = lock(tx, run_id).total is not None
    if frozen and state is RunState.SELECTING:
        raise LedgerError(f"run {run_id} cannot become {state.value}: its selection is frozen")
    if not frozen and state not in _BEFORE_FROZEN:
        raise LedgerError(
            f"run {run_id} cannot become {state.value}: its selection is not frozen yet (seal it)"
        )
    change(
        tx,
        run_id,
        {
            "state": state.value,
            "stop": None if stop is None else stop.value,
            "message": plain(message),
            "broken": broken,
            "finished_at": tx.now() if state is RunState.FINISHED else None,
        },
    )


def add_flow_run(tx: Transaction, run_id: RunId, flow_run_id: str) -> None:
    """Record a flow run of the run; once, however often it is said."""
    known = lock(tx, run_id).flow_run_ids
    if flow_run_id not in known:
        change(tx, run_id, {"flow_run_ids": list_to_text([*known, flow_run_id])})


def _not_found(run_id: str) -> RunNotFound:
    return RunNotFound(
        f"no run {run_id!r} in this ledger; 'polly-bulk runs' lists those it has, and "
        "POLLY_LEDGER_URL names the ledger"
    )


def _mismatch(found: RunRow, spec: RunSpec) -> str:
    old, new = found.spec.model_dump(mode="json"), spec.model_dump(mode="json")
    differing = [name for name in old if canonical_json(old[name]) != canonical_json(new[name])]
    shown = "; ".join(
        f"{name}: {_short(old[name])} then, {_short(new[name])} now" for name in differing
    )
    return (
        f"run {found.run_id} was made for another spec: digest {found.spec_digest} then, "
        f"{spec.digest()} now; what differs is {shown}. Use another run id for another job, or "
        "the same spec to take this run up"
    )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 120 else f"{text[:119]}…"


def _copies_from(spec: RunSpec) -> str | None:
    source = spec.change.get("from_atlas")
    return source if spec.operation is OperationName.COPY and isinstance(source, str) else None


def _run(row: Row[Any]) -> RunRow:
    return RunRow(
        run_id=row.run_id,
        spec=from_text(RunSpec, row.spec),
        spec_digest=row.spec_digest,
        options=from_text(RunOptions, row.options),
        state=RunState(row.state),
        stop=None if row.stop is None else StopReason(row.stop),
        message=row.message,
        plan_digest=row.plan_digest,
        total=row.total,
        created_at=moment(row.created_at),
        finished_at=maybe_moment(row.finished_at),
        seconds=row.seconds,
        flow_run_ids=texts(row.flow_run_ids),
        origin=row.origin_run_id,
        broken=row.broken,
    )


def ensure_exists(tx: Transaction, run_id: RunId) -> None:
    """Raises ``RunNotFound``."""
    if tx.execute(select(_RUN.run_id).where(_RUN.run_id == run_id)).first() is None:
        raise _not_found(run_id)


def freeze(tx: Transaction, run_id: RunId, total: int) -> None:
    """End the selection."""
    change(tx, run_id, {"total": total, "state": RunState.SELECTED.value})
