"""Where the demo plays: a temporary folder, the processes in it, and an end that leaves nothing."""

import json
import os
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

import click
from rich.console import Console

from cli.local_server import LocalServer
from polly_core.errors import CannotProceed
from polly_core.models.jsonvalue import Model

ATLAS = "demo"
READY_SECONDS = 60.0
STOP_SECONDS = 15.0
_PROGRAM = (sys.executable, "-c", "from cli.main import main; main()")
_FOREIGN = ("POLLY_", "PREFECT_", "AWS_")


class Served(Model):
    """The line that ``polly-bulk serve`` prints."""

    api_url: str
    s3_endpoint_url: str
    region: str
    api_key: str
    read_key: str
    atlases: tuple[str, ...]
    pid: int


class Stage:
    """Runs ``polly-bulk`` commands as a user at a terminal would, and says which."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self._environment = _environment(os.environ, self.home)
        self._children: list[subprocess.Popen[str]] = []
        self._log = (folder / "servers.log").open("a", encoding="utf-8")

    def say(self, title: str, text: str = "") -> None:
        """A heading and what it is about."""
        click.echo(click.style(f"\n{title}", bold=True))
        if text:
            click.echo(text)

    def run(self, *arguments: str, accepted: tuple[int, ...] = (0,)) -> None:
        """Run a command to its end, with its output in full view.

        Raises:
            CannotProceed: it ended with another code than accepted.
        """
        child = self.start(*arguments)
        code = child.wait()
        self._children.remove(child)
        if code not in accepted:
            raise CannotProceed(
                f"'polly-bulk {' '.join(arguments)}' ended with {code}, expected "
                f"{' or '.join(map(str, accepted))}; its own message stands above"
            )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command in view, in a process group of its own."""
        sys.stdout.flush()
        click.echo(click.style(f"$ polly-bulk {' '.join(arguments)}", fg="cyan"))
        return self._spawn(arguments)

    def kill(self, child: subprocess.Popen[str]) -> None:
        """kill -9: the command and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        if child in self._children:
            self._children.remove(child)
        if sys.stderr.isatty():
            # It was drawing a bar: give back the cursor that it hid, and the line.
            sys.stderr.write("\x1b[?25h\r\x1b[K")

    def start_prefect(self) -> subprocess.Popen[str]:
        """Begin to start the local Prefect server; takes some seconds, beside other work."""
        click.echo(click.style("$ polly-bulk prefect start &", fg="cyan"))
        return self._spawn(("prefect", "start"), quiet=True)

    def serve(self) -> Served:
        """Start the atlas and wait until it is ready.

        Raises:
            CannotProceed: it ended, or is not ready in time.
        """
        arguments = ("serve", "--data", str(self.folder / "atlas"), "--atlas", ATLAS)
        click.echo(click.style(f"$ polly-bulk {' '.join(arguments)} &", fg="cyan"))
        child = self._spawn(arguments, quiet=True)
        with Console(stderr=True).status("starting the atlas"):
            line = _first_line(child, READY_SECONDS)
        if not line:
            raise CannotProceed(f"the atlas did not start:\n{self.server_log_end()}")
        served = Served.model_validate(json.loads(line))
        self._environment["POLLY_API_URL"] = served.api_url
        self._environment["POLLY_API_KEY"] = served.api_key
        return served

    def ready(self, child: subprocess.Popen[str], what: str) -> None:
        """Wait for a command started in the background.

        Raises:
            CannotProceed: it failed.
        """
        with Console(stderr=True).status(f"waiting for {what}"):
            code = child.wait()
        self._children.remove(child)
        if code != 0:
            raise CannotProceed(f"{what} did not start:\n{self.server_log_end()}")

    def server_log_end(self) -> str:
        """The last words of the servers."""
        self._log.flush()
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")[-2000:]

    def pids(self) -> list[int]:
        """The processes that were started and still run."""
        return [child.pid for child in self._children if child.poll() is None]

    def exports(self) -> str:
        """What to type to use the demo's servers from another terminal."""
        given = {
            name: text for name, text in self._environment.items() if name.startswith("POLLY_")
        }
        return "\n".join(f"export {name}={shlex.quote(text)}" for name, text in given.items())

    def close(self) -> None:
        """Stop every process. The servers end in their own way if they do so in time."""
        for child in self._children:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        # Its database is thrown away: nothing has to be written down first.
        with suppress(CannotProceed):
            LocalServer(self.home, stop_deadline=STOP_SECONDS).stop()
        deadline = time.monotonic() + STOP_SECONDS
        for child in self._children:
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.kill(child)
        self._log.close()
        _end_leftovers(self.folder)

    def _spawn(self, arguments: tuple[str, ...], *, quiet: bool = False) -> subprocess.Popen[str]:
        child = subprocess.Popen(  # noqa: S603 - our own program
            [*_PROGRAM, *arguments],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quiet else None,
            stderr=self._log if quiet else None,
            text=True,
            # Ctrl-C is for the demo, which then ends its processes one by one.
            start_new_session=True,
        )
        self._children.append(child)
        return child


@contextmanager
def stage(*, keep: bool, on_kept: Callable[[Stage], None]) -> Iterator[Stage]:
    """A stage in a new temporary folder; both are gone afterwards, also on failure or signals.

    With ``keep`` a play that went well is left standing.
    """
    folder = Path(tempfile.mkdtemp(prefix="polly-bulk-demo-"))
    found = Stage(folder)
    kept = False
    try:
        with _signals(_interrupt):
            yield found
        kept = keep
    finally:
        if kept:
            on_kept(found)
        else:
            with _signals(signal.SIG_IGN), Console(stderr=True).status("cleaning up"):
                found.close()
                shutil.rmtree(folder, ignore_errors=True)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _signals(
    handler: Callable[[int, FrameType | None], None] | signal.Handlers,
) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _environment(given: Mapping[str, str], home: Path) -> dict[str, str]:
    """The caller's environment without what would lead the demo to servers of the caller."""
    kept = {name: text for name, text in given.items() if not name.startswith(_FOREIGN)}
    root = str(Path(__file__).resolve().parents[1])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH")]))
    return kept | {
        "POLLY_HOME": str(home),
        "POLLY_ALLOWED_MODULES": '["polly_core.planning.functions"]',
        "PREFECT_HOME": str(home / "prefect-client"),
        # Nothing of the demo goes out.
        "DO_NOT_TRACK": "1",
    }


def _first_line(child: subprocess.Popen[str], seconds: float) -> str:
    """The first line of a child, or nothing when it ends or takes too long."""
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        return child.stdout.readline() if selector.select(seconds) else ""


def _end_leftovers(folder: Path) -> None:
    """kill -9 whatever still has the demo's folder in its command line or environment."""
    mark = str(folder).encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            described = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if mark in described and int(process.name) != os.getpid():
                os.kill(int(process.name), signal.SIGKILL)
