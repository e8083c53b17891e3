"""``polly-bulk rollback``: bulk rollback."""

from datetime import datetime

import click

from cli.operating import Described, OperationCommands
from cli.options import Flags, Given, checked
from cli.working import open_ledger_here
from polly_core.models.operations import RollbackSpec
from polly_core.models.run import OperationName
from polly_core.models.selection import Selection

_FLAGS: Flags = {
    "--as-of": {
        "metavar": "TIME",
        "help": "To the version current at a time, like 2026-11-21 or 2026-11-21T18:00:00+01:00; "
        "without a zone it is this machine's.",
    },
    "--back": {"type": click.IntRange(min=1), "metavar": "N", "help": "So many versions back."},
    "--before-run": {
        "metavar": "RUN",
        "help": "To the version before a run; with nothing selected, all that the run wrote.",
    },
    "--save-bytes": {
        "is_flag": True,
        "help": "Download files that are lost first; the report says where they are.",
    },
}


def _describe(given: Given) -> Described:
    spec = checked(
        RollbackSpec,
        as_of=_moment(given["as_of"]),
        back=given["back"],
        before_run=_run(given["before_run"]),
        save_bytes=given["save_bytes"],
    )
    change = spec.model_dump(mode="json")
    return Described(
        change=change, form={name: value for name, value in change.items() if value is not None}
    )


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"expected a time like 2026-11-21T18:00:00+01:00, found {text!r}",
            param_hint="--as-of",
        ) from None
    return found if found.tzinfo else found.astimezone()


def _run(text: str | None) -> str | None:
    if text is None:
        return None
    with open_ledger_here() as ledger:
        return ledger.find_run(text).run_id


def _check(described: Described, selection: Selection) -> None:
    by_row = selection.manifest_uri is not None or selection.failures_of is not None
    if not by_row and not (described.form or {}).keys() - {"save_bytes"}:
        raise click.UsageError(
            "nothing says to which version to go back: give --as-of, --back or --before-run, or a "
            "--manifest with a version_id column"
        )


commands = OperationCommands(
    operation=OperationName.ROLLBACK,
    flags=_FLAGS,
    describe=_describe,
    check=_check,
    help="Make many datasets what they were at an earlier version: metadata, data, type, and the "
    "study where a run of this ledger recorded it. Each rollback is a new version. Deleted "
    "datasets come back when they are named (--ids, --manifest) or written by the run of "
    "--before-run.\n\nA manifest's column version_id names the version of each.\n\nShows the plan "
    "and asks, then writes as a Prefect flow.",
)
command = commands.command()
