"""A run as a folder that stands for itself: its plan, approvals, ledger rows, report and files.

``SHA256SUMS`` in it covers every other file, as ``sha256sum -c`` reads it. Everything is streamed:
memory does not grow with the number of items.
"""

import importlib.metadata
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from polly_core.engine.overview import living, overview
from polly_core.engine.planned import export_plan
from polly_core.engine.report import report_rows
from polly_core.engine.reportfile import write_rows
from polly_core.engine.sums import SUMS, read_sums, sum_line
from polly_core.engine.verifying import Verification
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.ledger.ledger import Ledger
from polly_core.ledger.rows import ItemRow, RunRow
from polly_core.models.catalog import RunId
from polly_core.models.jsonvalue import JsonValue, Model
from polly_core.operations.fetching import sha256_of
from polly_core.operations.stepping import SAVE
from polly_core.planning.sheet import json_text
from polly_core.transport.deposit import Deposit
from polly_core.transport.s3uri import SCHEME

FORMAT = 1
README = """\
The record of one bulk run, made by polly-bulk. Check it with: sha256sum -c SHA256SUMS

bundle.json         what this is, when it was made and by what
run.json            the run as its ledger has it: spec, options, digests, state, flow runs
summary.json        what it came to; how it is linked to other runs; waves
approvals.json      who approved what, and when
executions.jsonl    every process that executed it
shards.jsonl        every shard
items.jsonl         every item: its manifest row, what was planned, every step, its outcome
plan.jsonl          the plan file, where the run was planned before its first write
report.jsonl, .csv  every item as the report has it; a manifest of a next run
saved/              bytes of files that the run removed or replaced, where they were saved
verification.json   what verification came to, where it was asked for
"""


class Bundled(Model):
    """A bundle that was made."""

    place: str
    files: int
    items: int
    digest: str
    """SHA-256 of its ``SHA256SUMS``: noted elsewhere, it proves that nothing was changed."""
    notes: tuple[str, ...] = ()


def make_bundle(
    ledger: Ledger,
    run: RunRow,
    target: str,
    *,
    home: Path,
    verification: Verification | None = None,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Bundled:
    """Write a run's bundle to a folder or ``s3://`` that is not there yet.

    It appears whole or not at all: a folder by being renamed, in S3 by ``SHA256SUMS``, which comes
    last. After a kill there may be a hidden ``.part`` folder, or a ``.part`` object beside others.

    Raises:
        InvalidInput: the place is taken, or is none.
        CannotProceed: some process executes the run, saved files are not here, or it cannot be
            written.
    """
    require_still(ledger, run.run_id)
    bundle = _Bundle(ledger, run, home, verification, clock)
    if target.startswith(SCHEME):
        deposit = Deposit(target)
        deposit.require_empty()
        with tempfile.TemporaryDirectory(prefix="polly-bundle-") as folder:
            made = _written(bundle, Path(folder), deposit.uri)
            names = (name for _, name in read_sums(Path(folder, SUMS)))
            deposit.send(Path(folder), names, last=SUMS)
        return made
    place = _free(target)
    part = place.with_name(f".{place.name}.{secrets.token_hex(6)}.part")
    try:
        try:
            part.mkdir()
            made = _written(bundle, part, str(place))
            part.rename(place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise _unwritable(str(place), error) from error
    return made


def require_free(target: str) -> None:
    """Refuse a place where something is, before any work is done for it.

    Raises:
        InvalidInput: there is something, or nothing for it to be in.
        CannotProceed: it cannot be looked at.
    """
    if target.startswith(SCHEME):
        Deposit(target).require_empty()
    else:
        _free(target)


def _free(target: str) -> Path:
    place = Path(target).expanduser().absolute()
    if place.exists() or place.is_symlink():
        raise InvalidInput(f"{place} is there already; nothing is overwritten. Choose another name")
    if not place.parent.is_dir():
        raise InvalidInput(f"there is no folder {place.parent}; make it, or choose another place")
    return place


def require_still(ledger: Ledger, run_id: RunId) -> None:
    """Refuse a run that is being executed: its record would not agree with itself.

    Raises:
        CannotProceed: some process executes it.
    """
    at_work = living(ledger, run_id)
    if at_work:
        raise CannotProceed(
            f"run {run_id} is being executed by {at_work[0].process}; bundle it when that has "
            f"ended. polly-bulk show {run_id} says how it stands"
        )


def _written(bundle: "_Bundle", folder: Path, place: str) -> Bundled:
    try:
        return bundle.write(folder, place)
    except OSError as error:
        raise _unwritable(place, error) from error


def _unwritable(place: str, error: OSError) -> CannotProceed:
    return CannotProceed(
        f"the bundle cannot be written to {place}: {error.strerror or error}; nothing of it is "
        "left there. Make room or give access, and run it again"
    )


class _Bundle:
    """What goes into a bundle. Used once."""

    def __init__(
        self,
        ledger: Ledger,
        run: RunRow,
        home: Path,
        verification: Verification | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._ledger = ledger
        self._run = run
        self._home = home
        self._verification = verification
        self._clock = clock
        self._notes: list[str] = []
        self._files = 0
        self._items = 0
        self._folder = Path()

    def write(self, folder: Path, place: str) -> Bundled:
        """Everything, the sums last."""
        self._folder = folder
        with (folder / SUMS).open("w", encoding="utf-8", newline="\n") as sums:
            self._write_ledger(sums)
            self._write_plan(sums)
            self._write_reports(sums)
            if self._verification is not None:
                found = self._verification.model_dump(mode="json")
                self._write_json(sums, "verification.json", found)
            self._write_text(sums, "README.txt", README)
            self._write_json(sums, "bundle.json", self._description())
            _flush(sums)
        return Bundled(
            place=place,
            files=self._files,
            items=self._items,
            digest=sha256_of(folder / SUMS),
            notes=tuple(self._notes),
        )

    def _write_ledger(self, sums: IO[str]) -> None:
        ledger, run = self._ledger, self._run
        around = overview(ledger, run)
        summary = around.model_dump(mode="json", exclude={"control", "live", "approvals"})
        summary["exit_code"] = around.summary.exit_code
        self._write_json(sums, "run.json", run.model_dump(mode="json"))
        self._write_json(sums, "summary.json", summary)
        approvals: list[JsonValue] = [one.model_dump(mode="json") for one in around.approvals]
        self._write_json(sums, "approvals.json", approvals)
        self._write_lines(sums, "executions.jsonl", ledger.executions(run.run_id))
        self._write_lines(sums, "shards.jsonl", ledger.shards(run.run_id))
        with self._opened("items.jsonl") as stream:
            for row in ledger.items(run.run_id):
                stream.write(_line(row))
                self._save_files(sums, row)
                self._items += 1
            _flush(stream)
        self._sum(sums, "items.jsonl")

    def _write_plan(self, sums: IO[str]) -> None:
        recorded = self._run.plan_digest
        if recorded is None:
            self._notes.append("planned shard by shard: what was planned stands in items.jsonl")
            return
        footer = export_plan(self._ledger, self._run, self._folder / "plan.jsonl")
        self._sum(sums, "plan.jsonl")
        if footer.plan_digest != recorded:
            self._notes.append(
                f"some items were planned again after the plan {recorded[:12]} was shown; "
                f"plan.jsonl is what was done in the end ({footer.plan_digest[:12]})"
            )

    def _write_reports(self, sums: IO[str]) -> None:
        for kind in ("jsonl", "csv"):
            name = f"report.{kind}"
            with (self._folder / name).open("wb") as stream:
                write_rows(report_rows(self._ledger, self._run.run_id), kind, stream)
                _flush(stream)
            self._sum(sums, name)

    def _save_files(self, sums: IO[str], row: ItemRow) -> None:
        for step in row.done:
            if not step.step.startswith(SAVE) or step.location is None:
                continue
            name = f"saved/{row.dataset_id}/{step.step.removeprefix(SAVE)}"
            target = self._folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._saved(row, name, Path(step.location)), target)
            found = sha256_of(target)
            if step.sha256 not in {None, found}:
                raise CannotProceed(
                    f"the saved file {step.location} of dataset {row.dataset_id} was changed: "
                    f"expected SHA-256 {str(step.sha256)[:12]}…, found {found[:12]}…; put it back "
                    "as it was, and run it again"
                )
            self._sum(sums, name, found)

    def _saved(self, row: ItemRow, name: str, recorded: Path) -> Path:
        """Where the saved bytes are; the home folder may have moved since."""
        kept, *rest = Path(name).parts
        moved = self._home.joinpath(kept, self._run.run_id, *rest)
        for path in (recorded, moved):
            if path.is_file():
                return path
        raise CannotProceed(
            f"the file that was saved of dataset {row.dataset_id} is not on this machine: expected "
            f"{recorded} or {moved}. Run it where the run was executed, or copy the folder here"
        )

    def _description(self) -> dict[str, JsonValue]:
        return {
            "polly_bulk_bundle": FORMAT,
            "run_id": self._run.run_id,
            "made_at": self._clock().isoformat(),
            "made_by": f"polly-bulk {importlib.metadata.version('polly-bulk')}",
            "items": self._items,
            "notes": list(self._notes),
        }

    def _write_lines(self, sums: IO[str], name: str, rows: Iterable[Model]) -> None:
        with self._opened(name) as stream:
            stream.writelines(map(_line, rows))
            _flush(stream)
        self._sum(sums, name)

    def _write_json(self, sums: IO[str], name: str, value: JsonValue) -> None:
        self._write_text(sums, name, json_text(value) + "\n")

    def _write_text(self, sums: IO[str], name: str, text: str) -> None:
        with self._opened(name) as stream:
            stream.write(text)
            _flush(stream)
        self._sum(sums, name)

    def _opened(self, name: str) -> IO[str]:
        return (self._folder / name).open("w", encoding="utf-8", newline="\n")

    def _sum(self, sums: IO[str], name: str, digest: str | None = None) -> None:
        sums.write(sum_line(digest or sha256_of(self._folder / name), name))
        self._files += 1


def _line(row: Model) -> str:
    return json_text(row.model_dump(mode="json")) + "\n"


def _flush(stream: IO[str] | IO[bytes]) -> None:
    stream.flush()
    os.fsync(stream.fileno())
