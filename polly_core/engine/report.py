"""Reports of a run, from the ledger alone."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydantic import Field

from polly_core.engine.points import Hook, Point, pass_by
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import ItemRow, RunRow
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import JsonObject, Model
from polly_core.models.run import ENDED_WELL, NOT_PROCESSED, NOT_WELL, ItemState, RunSummary
from polly_core.planning.sheet import json_text
from polly_core.transport.sources import beside

FILE_COLUMNS = frozenset({"data", "file", "metadata_file"})


class ReportRow(Model):
    """One item in a report. ``outcome`` is ``planned`` or ``selected`` if it was not processed."""

    dataset_id: str
    file_name: str | None = None
    outcome: ItemState
    version_before: str | None = None
    version_after: str | None = None
    reasons: tuple[str, ...] = ()
    inferred: bool = False
    """Authorship was inferred from content: the hosted service does not record it."""
    verified: bool = False
    cells: JsonObject = Field(default_factory=dict)
    """The item's manifest row, so that the report is a manifest of the same operation."""

    def members(self) -> JsonObject:
        """The row as JSON: its own members, then the manifest's cells beside them."""
        own: JsonObject = self.model_dump(mode="json", exclude={"cells"})
        if self.file_name is None:
            del own["file_name"]
        return own | {name: value for name, value in self.cells.items() if name not in own}


def report_rows(
    ledger: Ledger, run_id: RunId, *, states: Iterable[ItemState] | None = None
) -> Iterator[ReportRow]:
    """Every item of a run in its order, streamed."""
    manifest = ledger.run(run_id).spec.selection.manifest_uri
    for item in ledger.items(run_id, states=states, plans=False):
        yield _row(item, manifest)


def _row(item: ItemRow, manifest: str | None) -> ReportRow:
    seen = item.version_seen
    return ReportRow(
        dataset_id=item.dataset_id,
        file_name=item.file_name or None,
        outcome=item.state,
        version_before=seen,
        version_after=item.version_after,
        reasons=item.reasons,
        inferred=item.inferred,
        verified=item.verified_at is not None,
        cells=_cells(item.row or {}, manifest),
    )


def _cells(row: JsonObject, manifest: str | None) -> JsonObject:
    """The row's cells; files that were named relative to the manifest by where they are."""
    found = {
        name: value
        for name, value in row.items()
        # What planning was given of the ledger is in nobody's manifest.
        if name not in ReportRow.model_fields and not name.startswith("@")
    }
    for name in FILE_COLUMNS & found.keys():
        value = found[name]
        if isinstance(value, str) and manifest is not None:
            found[name] = beside(manifest, value)
    return found


def notable_items(ledger: Ledger, run_id: RunId, limit: int) -> list[ItemRow]:
    """At most so many items: those that did not end well first, each group in the run's order."""
    groups = (NOT_WELL, NOT_PROCESSED, ENDED_WELL)
    rows = (
        row
        for states in groups
        for row in ledger.items(run_id, states=states, limit=limit, plans=False)
    )
    return list(itertools.islice(rows, limit))


def write_report(ledger: Ledger, run_id: RunId, path: Path, *, hook: Hook = pass_by) -> Path:
    """Write the full report as JSON lines. It appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    with part.open("w", encoding="utf-8") as stream:
        for row in report_rows(ledger, run_id):
            stream.write(json_text(row.members()) + "\n")
    part.replace(path)
    hook(Point.REPORTED)
    return path


def summarise(ledger: Ledger, run: RunRow) -> RunSummary:
    """What a run came to so far."""
    return RunSummary(
        run_id=run.run_id,
        operation=run.spec.operation,
        catalog=run.spec.catalog,
        spec_digest=run.spec_digest,
        plan_digest=run.plan_digest,
        state=run.state,
        stop=run.stop,
        message=run.message,
        counts=ledger.counts(run.run_id),
        tolerate=run.options.tolerate,
        created_at=run.created_at.isoformat(),
        seconds=run.seconds,
        flow_run_ids=run.flow_run_ids,
        broken=run.broken,
    )
