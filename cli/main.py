"""``polly-bulk``: finds the command, turns errors into messages and exit codes."""

import importlib
import sys

import click

from polly_core.errors import InvalidInput, PollyError

COMMANDS = {
    "serve": "the self-hosted atlas, in the foreground",
    "keys": "manage the keys of a self-hosted atlas",
    "update": "update the metadata, data type or data of many datasets",
    "create": "create many datasets from a manifest, with data and files",
    "copy": "copy datasets from one atlas to another, or promote what changed",
    "rollback": "take datasets back to an earlier version; deleted ones come back",
    "delete": "delete datasets, keeping what undo needs",
    "attach": "attach supplementary files by a manifest",
    "detach": "remove supplementary files by a manifest",
    "study": "move datasets into a study, or out of any",
    "ingest": "ask for ingestions, most urgent first",
    "plan": "only plan an operation, into a file that can be reviewed",
    "apply": "do exactly what a plan file says",
    "runs": "list the runs in the ledger",
    "show": "one run: state, counts, how to go on",
    "report": "every item of a run, as a file that is also a manifest",
    "export": "write the metadata of a selection as a sheet that is a manifest",
    "resume": "take up a run that did not finish",
    "retry": "plan again what did not end well, and do it",
    "undo": "take back a run, keeping what others did since",
    "verify": "check that a run's promises still hold",
    "bundle": "everything about a run in one folder, for audit; check such a folder",
    "pause": "hold a running run",
    "continue": "let a paused run go on",
    "cancel": "stop a running run; it stays resumable",
    "throttle": "change how many requests a running run has in flight",
    "prefect": "start, stop or look at the local Prefect server",
    "approve": "approve a run's plan or one of its waves",
    "deploy": "set deployments, limits and automations up on the Prefect server",
    "trigger": "start a deployment, as CI does, and exit as the run ended",
    "demo": "the whole story on the embedded default",
}


FAMILIES = {
    "pause": ("control", "pause"),
    "continue": ("control", "go_on"),
    "cancel": ("control", "cancel"),
    "throttle": ("control", "throttle"),
}
"""Commands that share a file: its module, and the command in it."""


class LazyGroup(click.Group):
    """Imports a command's module when it is asked for, so that ``--help`` is instant."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, name = FAMILIES.get(cmd_name, (cmd_name, "command"))
        command = getattr(importlib.import_module(f"cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="polly-bulk")
def program() -> None:
    """Bulk operations on OmixAtlas catalogs: planned, recorded, resumable, undoable."""


def main(argv: list[str] | None = None) -> None:
    """Run the program and exit with the codes of the reference (0, 1, 2, 3, 4, 130)."""
    try:
        code = program.main(args=argv, standalone_mode=False)
    except click.Abort:
        click.echo("interrupted", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except InvalidInput as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except PollyError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(3)
    sys.exit(code if isinstance(code, int) else 0)
