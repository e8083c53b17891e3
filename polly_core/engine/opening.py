"""Turns a request into a run in the ledger: the catalog, the change, the spec that binds it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from polly_core.catalog.connect import Connection, connect
from polly_core.catalog.ports import Ports, Reader
from polly_core.engine.builders.base import Built, Workshop, described, saved_in
from polly_core.engine.builders.ingest import flags_of
from polly_core.engine.builders.registry import build
from polly_core.engine.request import RunRequest, Surroundings
from polly_core.engine.verifying import assertions_of
from polly_core.errors import InvalidInput, RunMismatch, RunNotFound
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import RunRow
from polly_core.models.catalog import AtlasId, CatalogRef, RunId
from polly_core.models.change import Change
from polly_core.models.operations import DESCRIPTIONS, RollbackSpec, UndoSpec
from polly_core.models.run import ItemState, OperationName, RunOptions, RunSpec
from polly_core.models.selection import Selection
from polly_core.operations.base import Operation
from polly_core.operations.transition import Transition
from polly_core.planning.plan import PlanFile, read_plan
from polly_core.planning.resources import Loaded, change_of, load_resources, parse_change
from polly_core.transport.retry import Retrier
from polly_core.transport.sources import (
    absolute,
    beside,
    fetch_source,
    read_source,
    without_query,
)

Connector = Callable[[Connection, Retrier], Ports]
"""Reaches an atlas; the retrier is for reads."""


def over_http(connection: Connection, retrier: Retrier) -> Ports:
    """The connector of a real run."""
    return connect(connection, retrier=retrier)


@dataclass(frozen=True, slots=True)
class Opened:
    """A run that is in the ledger, with what is needed to execute it."""

    run: RunRow
    known: bool
    """It was in the ledger before."""
    connected: Ports
    built: Built
    selection_file: Path | None
    plan: PlanFile | None

    @property
    def operation(self) -> Operation:
        """What is done to each item."""
        return self.built.operation

    @property
    def listing(self) -> Reader:
        """The atlas whose datasets are selected."""
        return self.built.listing


def known_run(ledger: Ledger, request: RunRequest) -> RunRow | None:
    """The run, where the ledger knows it."""
    try:
        return ledger.run(request.run_id)
    except RunNotFound:
        if request.takes_up:
            raise
        return None


def open_run(
    request: RunRequest,
    surroundings: Surroundings,
    ledger: Ledger,
    connected: Ports,
) -> Opened:
    """Register the run, or take it up after checking that it is the same.

    Raises:
        RunMismatch: the run id belongs to another spec or another catalog.
        InvalidInput: the change, the selection or a file they refer to cannot be used.
    """
    known = known_run(ledger, request)
    if known is not None and known.spec.catalog != connected.reader.catalog:
        raise _elsewhere(known, connected.reader.catalog)
    if request.options is not None:
        operation = known.spec.operation if known and request.takes_up else request.operation
        assertions_of(operation, request.options)
    resolved = _resolve(request, surroundings, ledger, connected, known)
    # Everything that can be refused is, before the ledger hears of the run.
    built = _built(resolved, surroundings, ledger, connected)
    options = options_of(request, known)
    run = ledger.create_run(
        request.run_id,
        resolved.spec,
        options,
        flow_run_id=request.flow_run_id,
        origin=_origin(resolved.spec),
    )
    if request.options is not None and options != run.options:
        ledger.set_options(request.run_id, options)
        run = ledger.run(request.run_id)
    return Opened(run, known is not None, connected, built, resolved.selection_file, resolved.plan)


def _origin(spec: RunSpec) -> RunId | None:
    """The run that this one undoes."""
    undoes = spec.operation is OperationName.UNDO
    return described(UndoSpec, spec.change).run_id if undoes else None


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A request with everything it refers to."""

    spec: RunSpec
    plans: bool = True
    """False where every item is planned already: nothing is decided again."""
    loaded: Loaded | None = None
    """The change of an update."""
    selection_file: Path | None = None
    plan: PlanFile | None = None


def _resolve(
    request: RunRequest,
    surroundings: Surroundings,
    ledger: Ledger,
    connected: Ports,
    known: RunRow | None,
) -> _Resolved:
    if request.plan_file is not None:
        plan = read_plan(request.plan_file, catalog=connected.reader.catalog)
        return _Resolved(plan.spec, plans=False, plan=plan)
    if known is None or not request.takes_up:
        selection, path = _pinned_selection(request.selection, surroundings.home)
        if request.operation is OperationName.UPDATE:
            loaded = _load(request)
            spec = _update_spec(request, connected, loaded, selection)
            return _Resolved(spec, loaded=loaded, selection_file=path)
        return _Resolved(_spec(request, connected, selection), selection_file=path)
    spec = known.spec
    path = None
    if known.total is None:
        _, path = _pinned_selection(spec.selection, surroundings.home)
    open_ended = known.total is None or ledger.counts(known.run_id).of(ItemState.SELECTED) > 0
    evaluates = open_ended and spec.operation is OperationName.UPDATE
    loaded_again = _reload(spec) if evaluates else None
    return _Resolved(spec, plans=open_ended, loaded=loaded_again, selection_file=path)


def _elsewhere(known: RunRow, here: CatalogRef) -> RunMismatch:
    there = known.spec.catalog
    return RunMismatch(
        f"run {known.run_id} belongs to {there} (instance {there.instance_id}), this is {here} "
        f"(instance {here.instance_id}); use the service it was started on"
    )


def options_of(request: RunRequest, known: RunRow | None) -> RunOptions:
    """How the run is executed: what is not given stays as it is recorded, approval included."""
    kept = known.options if known else RunOptions()
    given = request.options
    if given is None:
        return kept
    return kept.model_copy(update={name: getattr(given, name) for name in given.model_fields_set})


def atlas_of(request: RunRequest, ledger: Ledger, known: RunRow | None) -> AtlasId:
    """The atlas of the request, of the run it takes up, or of the run it undoes.

    Raises:
        InvalidInput: nothing says which.
        RunNotFound: the run that is to be undone is not in the ledger.
    """
    if request.atlas_id is not None:
        return request.atlas_id
    if known is not None:
        return known.spec.catalog.atlas_id
    if request.operation is OperationName.UNDO:
        undone = described(UndoSpec, request.change or {}).run_id
        return ledger.run(undone).spec.catalog.atlas_id
    raise InvalidInput(f"run {request.run_id}: name the atlas it is to run on")


def _load(request: RunRequest) -> Loaded:
    if request.change is not None and request.change_uri is not None:
        raise InvalidInput("the change is given inline and by path or URI; keep one of them")
    if request.change_uri is not None:
        content = read_source(request.change_uri)
        change = parse_change(content, without_query(request.change_uri))
    elif request.change is not None:
        change = change_of(request.change, "the change")
    else:
        # A manifest's own columns are the change.
        change = Change()
    base = request.change_uri
    return load_resources(change, lambda name: read_source(beside(base, name)))


def _reload(spec: RunSpec) -> Loaded:
    """The recorded change with its files, which must still be the same."""
    change = change_of(spec.change, "the recorded change")
    return load_resources(
        change, lambda name: read_source(beside(spec.change_uri, name)), pinned=spec.files
    )


def _spec(request: RunRequest, connected: Ports, selection: Selection) -> RunSpec:
    kind = DESCRIPTIONS[request.operation]
    description = described(kind, request.change or {})
    if isinstance(description, RollbackSpec):
        selection = description.selecting(selection)
    return RunSpec(
        catalog=connected.reader.catalog,
        operation=request.operation,
        change=description.model_dump(mode="json"),
        selection=selection,
    )


def _update_spec(
    request: RunRequest, connected: Ports, loaded: Loaded, selection: Selection
) -> RunSpec:
    # Names in an inline change lead from the working directory, which a resume may not share.
    base = request.change_uri or ("./" if loaded.digests else None)
    return RunSpec(
        catalog=connected.reader.catalog,
        operation=request.operation,
        change=loaded.change.to_json(),
        selection=selection,
        files=loaded.digests,
        change_uri=None if base is None else absolute(base) + ("/" if base == "./" else ""),
    )


def _pinned_selection(selection: Selection, home: Path) -> tuple[Selection, Path | None]:
    """The selection with the digest of its file, and where the file is."""
    uri = selection.ids_uri or selection.manifest_uri
    if uri is None:
        return selection, None
    path, found = fetch_source(uri, home / "sources")
    if selection.source_digest not in {None, found}:
        raise RunMismatch(
            f"{without_query(uri)} is not the file this run was started with: expected SHA-256 "
            f"{selection.source_digest}, found {found}; put the file back, or start a new run"
        )
    return selection.model_copy(update={"source_digest": found}), path


def _built(resolved: _Resolved, surroundings: Surroundings, ledger: Ledger, ports: Ports) -> Built:
    spec = resolved.spec
    # A copy's pages are of another atlas than the one that is written: it keeps them apart.
    if not resolved.plans and spec.operation is not OperationName.COPY:
        planned = Transition(saved_in=saved_in(surroundings))
        return Built(planned, ports.reader, flags=flags_of(spec))
    workshop = Workshop(spec, ports, surroundings, ledger, resolved.loaded, resolved.selection_file)
    return build(spec.operation, workshop)
