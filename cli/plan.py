"""``polly-bulk plan``: only plan, into a file that can be reviewed and applied as it is."""

import importlib

import click

from cli.operating import OperationCommands

OPERATIONS = (
    "update",
    "create",
    "copy",
    "rollback",
    "ingest",
    "delete",
    "attach",
    "detach",
    "study",
)


class PlanGroup(click.Group):
    """One subcommand per operation, with that operation's options."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(OPERATIONS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in OPERATIONS:
            return None
        commands = importlib.import_module(f"cli.{cmd_name}").commands
        assert isinstance(commands, OperationCommands)
        return commands.planning()


@click.group(cls=PlanGroup)
def command() -> None:
    """Only plan an operation, into a file that can be reviewed; 'apply' does exactly that."""
