"""Options that several commands share, gathered into models."""

import functools
import hashlib
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import click
from pydantic import ValidationError

from polly_core.models.catalog import RunId, StudyId
from polly_core.models.jsonvalue import Model
from polly_core.models.run import (
    Allowance,
    Approval,
    OnLease,
    RunOptions,
    Verify,
    Wave,
    parse_budget,
)
from polly_core.models.selection import Selection
from polly_core.planning.asserting import Assertions
from polly_core.settings import Settings
from polly_core.transport.sources import given_source

Given = Mapping[str, Any]
"""What click parsed, by parameter name."""
Flags = Mapping[str, Mapping[str, Any]]
"""Arguments of ``click.option`` by flag."""
M = TypeVar("M", bound=Model)


class Running(Model):
    """How a command executes a run."""

    run_id: RunId | None
    options: RunOptions | None
    """None where no option was given: a known run keeps its own."""
    dry_run: bool
    yes: bool


def gathered(name: str, flags: Flags, build: Callable[[Given], object]) -> Callable[[Any], Any]:
    """A decorator: adds options and hands what ``build`` makes of them to the command."""
    # A flag that may be turned off is written --this/--no-this.
    keys = [flag.partition("/")[0].lstrip("-").replace("-", "_") for flag in flags]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def command(*args: Any, **values: Any) -> Any:
            values[name] = build({key: values.pop(key) for key in keys})
            return function(*args, **values)

        decorated = command
        for flag in reversed(list(flags)):
            decorated = click.option(flag, **flags[flag])(decorated)
        return decorated

    return decorate


def checked(model: type[M], **values: object) -> M:
    """A model from what the user gave.

    Raises:
        click.UsageError: in the words of what is wrong.
    """
    try:
        return model(**values)
    except ValidationError as error:
        found = "; ".join(str(one["msg"]).removeprefix("Value error, ") for one in error.errors())
        raise click.UsageError(found) from None


def _selection(given: Given) -> Selection:
    ids, study, failed_of = given["ids"], given["study"], given["failed_of"]
    return checked(
        Selection,
        where=given["where"],
        ids_uri=_kept_ids() if ids == "-" else ids and given_source(ids),
        study=StudyId(study) if study else None,
        manifest_uri=given["manifest"] and given_source(given["manifest"]),
        failures_of=RunId(failed_of) if failed_of else None,
    )


def _kept_ids() -> str:
    """Standard input comes once; a resume reads the ids from a file."""
    text = sys.stdin.buffer.read()
    # Problems name the file: it says itself where the ids came from.
    name = f"standard-input-{hashlib.sha256(text).hexdigest()[:16]}.txt"
    path = Settings().home / "sources" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text)
    return str(path)


_PLAIN = (
    "concurrency",
    "shard_size",
    "verify",
    "on_lease",
    "priority",
    "patience",
    "approval",
    "repeat_unknown",
)


def _running(given: Given) -> Running:
    options = {key: given[key] for key in _PLAIN if given[key] is not None}
    if given["tolerate"] is not None:
        options["tolerate"] = _allowance("tolerate", given["tolerate"])
    if given["budget"] is not None:
        options.update(_budgets(given["budget"]))
    if given["waves"] is not None:
        options["waves"] = _waves(given["waves"])
    if given["assert"] or given.get("no_assert"):
        options["assertions"] = _assertions(given)
    return Running(
        run_id=_uuid(given["run_id"]),
        options=checked(RunOptions, **options) if options else None,
        dry_run=given.get("dry_run", False),
        yes=given["yes"],
    )


def _budgets(text: str) -> dict[str, object]:
    try:
        whole, single = parse_budget(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--budget") from None
    return {**({"budget": whole} if whole else {}), **({"budgets": single} if single else {})}


def _waves(text: str) -> tuple[Wave, ...]:
    if text == "none":
        return ()
    try:
        return tuple(Wave.parse(part.strip()) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--waves") from None


def _assertions(given: Given) -> tuple[str, ...]:
    if given["assert"] and given.get("no_assert"):
        raise click.UsageError("--assert and --no-assert exclude each other; give one of them")
    return Assertions(given["assert"]).texts


def _allowance(name: str, text: str) -> Allowance:
    try:
        return Allowance.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"--{name}") from None


def _uuid(text: str | None) -> RunId | None:
    if text is None:
        return None
    try:
        return RunId(str(UUID(text)))
    except ValueError:
        raise click.BadParameter(
            f"expected a UUID like 0b8f6d2e-0c4e-4a53-9f6e-2f1f2f3a4b5c, found {text!r}",
            param_hint="--run-id",
        ) from None


_SELECTION: Flags = {
    "--where": {
        "metavar": "EXPR",
        "help": "JMESPath over dataset_id, data_type, study_id, last_modified_at, metadata.",
    },
    "--ids": {"metavar": "FILE", "help": "File with one dataset id per line, or - (stdin)."},
    "--study": {"metavar": "S", "help": "All datasets of a study."},
    "--manifest": {
        "metavar": "FILE",
        "help": "CSV, TSV, JSONL or Parquet with a dataset_id column.",
    },
    "--failed-of": {"metavar": "RUN", "help": "What did not end well in that run."},
}

_OPTIONS: Flags = {
    "--concurrency": {"type": click.IntRange(1, 1024), "help": "Most requests in flight (64)."},
    "--shard-size": {"type": click.IntRange(1, 1000), "help": "Items per task run (500)."},
    "--budget": {
        "metavar": "N|N%",
        "help": "Bad outcomes that stop the run (10%); of one kind besides: 10%,conflict=0.",
    },
    "--tolerate": {"metavar": "N|N%", "help": "Bad outcomes that still exit with 0 (0)."},
    "--verify": {
        "type": click.Choice([v.value for v in Verify]),
        "help": "Reading back after writing (auto).",
    },
    "--on-lease": {
        "type": click.Choice([v.value for v in OnLease]),
        "help": "When another run holds a dataset (refuse).",
    },
    "--priority": {
        "type": click.Choice(["low", "medium", "high"]),
        "help": "Ingestion priority.",
    },
    "--patience": {
        "type": click.FloatRange(min=0),
        "metavar": "SECONDS",
        "help": "How long nothing may get through before the run stops (300).",
    },
    "--waves": {
        "metavar": "N,N%,…|none",
        "help": "First so many, verified, then the next; the last size is repeated.",
    },
    "--approval": {
        "type": click.Choice([v.value for v in Approval]),
        "help": "What waits for an approval: nothing, the plan, or each wave (none).",
    },
    "--repeat-unknown": {
        "is_flag": True,
        "default": None,
        "help": "Ask again for ingestions that may have been asked for and cannot be seen.",
    },
    "--assert": {
        "metavar": "EXPR",
        "multiple": True,
        "help": "JMESPath, as in --where, that must hold for every dataset that was written; "
        "may be given again.",
    },
}
_RUN_ID: Flags = {
    "--run-id": {
        "metavar": "UUID",
        "help": "The ingestion_run_id; given again it takes the run up.",
    }
}
_NO_ASSERT: Flags = {
    "--no-assert": {"is_flag": True, "help": "Go on without the assertions that are recorded."}
}
_YES: Flags = {"--yes": {"is_flag": True, "help": "Do not ask."}}
_DRY: Flags = {"--dry-run": {"is_flag": True, "help": "Plan and show; write nothing."}}

_MANIFEST: Flags = {
    "--manifest": {
        "metavar": "FILE",
        "required": True,
        "help": "CSV, TSV, JSONL or Parquet, one row per item.",
    }
}

takes_selection = gathered("selection", _SELECTION, _selection)
"""Hands the command ``selection: Selection``."""
manifest_only = gathered(
    "selection", _MANIFEST, lambda given: Selection(manifest_uri=given_source(given["manifest"]))
)
"""The same where the items are a manifest's rows."""
takes_running = gathered("running", {**_RUN_ID, **_OPTIONS, **_DRY, **_YES}, _running)
"""Hands the command ``running: Running``."""
takes_planning = gathered(
    "running",
    {**_RUN_ID, **_OPTIONS},
    lambda given: _running({**given, "yes": False}),
)
"""The same where nothing is written."""
takes_options = gathered(
    "running", {**_OPTIONS, **_NO_ASSERT, **_YES}, lambda given: _running({**given, "run_id": None})
)
"""The same for a run that is already named."""

output_option = click.option(
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json prints one document at the end.",
)
