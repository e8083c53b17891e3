"""Follows a page of the documentation: types its commands, writes its files, compares the output.

Every block of a page is executed, in order, in a folder of its own with ``example/`` in it. Blocks:

- ``console``: commands after ``$ `` and exactly what they print (``…`` for what is left out);
  ``# exits with 1`` behind a command that does; ``[y/N]: y`` where a question is answered.
  Commands of ``polly-bulk`` run in this process, others in a shell; one with ``&`` behind it runs
  until the page is through.
- ``yaml NAME``, ``csv NAME`` …: a file that the reader writes.
- ``python``: executed; the block ``output`` after it is what it prints.

Nothing else is allowed, so that nothing is skipped.
"""

import contextlib
import io
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from cli.main import main
from tests.docs.blocks import Block, Command, blocks_of, commands_of
from tests.docs.matching import Examples

_ATLAS = re.compile(r"--(?:atlas|from|to) ([a-z]\w*)|omixatlas_id=\"(\w+)\"")


class PageDiffers(AssertionError):
    """A page does not show what happens."""


class Keyboard(io.TextIOWrapper):
    """Standard input at a terminal where something is answered; what is typed is seen on it."""

    def __init__(self, answers: str, screen: io.TextIOWrapper) -> None:
        super().__init__(io.BytesIO(answers.encode()), encoding="utf-8")
        self._typed = bool(answers)
        self._screen = screen

    def isatty(self) -> bool:
        return self._typed

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        line = super().readline(size)
        self._screen.write(line)
        return line


class Reader:
    """Somebody who follows a page.

    Args:
        folder: where; it is the current folder while the page is followed.
        names: what the page calls things, and what they really are called here.
        environment: of the shell.
    """

    def __init__(
        self, folder: Path, names: Mapping[str, str], environment: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._names = names
        self._environment = {**environment, "LC_ALL": "C.UTF-8"}
        self._background = contextlib.ExitStack()
        self._examples = Examples()
        self._variables: dict[str, object] = {"__name__": "page"}
        self._printed = ""

    def follow(self, page: Path) -> int:
        """Do everything that a page says; how many blocks that were.

        Raises:
            PageDiffers: something else happens than the page shows.
        """
        number = 0
        with self._background:
            for number, block in enumerate(blocks_of(page), 1):  # noqa: B007 - it is returned
                self._do(block)
        return number

    def _do(self, block: Block) -> None:
        if block.file_name is not None:
            path = self._folder / block.file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._real(block.text), encoding="utf-8")
        elif block.info == "console":
            for command in commands_of(block):
                self._run(block, command)
        elif block.info == "python":
            self._printed = self._python(block)
        elif block.info == "output":
            self._compare(block.where, block.text.splitlines(), self._printed)
        else:
            raise PageDiffers(f"{block.where}: nobody knows what to do with ```{block.info}")

    def _run(self, block: Block, command: Command) -> None:
        where = f"{block.page} line {command.line}"
        code, printed = self.types(command)
        if code != command.code:
            raise PageDiffers(
                f"{where}: {command.text}\nexits with {code}, not {command.code}:\n{printed}"
            )
        self._compare(f"{where}: {command.text}", list(command.shown), printed)

    def types(self, command: Command) -> tuple[int, str]:
        """Run one command; its exit code and what it printed."""
        text = self._real(command.text)
        words = shlex.split(text)
        if words[0] == "polly-bulk":
            code, printed = self._polly_bulk(words[1:], command.answers)
        elif words[-1] == "&":
            code, printed = self._start(text.removesuffix("&"))
        else:
            code, printed = self._shell(text)
        return code, self._shown(printed)

    def _shell(self, text: str) -> tuple[int, str]:
        done = subprocess.run(
            ["/bin/sh", "-c", text],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout.decode()

    def _start(self, text: str) -> tuple[int, str]:
        self._background.enter_context(_running(text, self._folder, self._environment))
        return 0, ""

    def _polly_bulk(self, words: list[str], answers: str) -> tuple[int, str]:
        with _screen() as screen, contextlib.ExitStack() as stack:
            stack.enter_context(_stdin(Keyboard(answers, screen)))
            code: object = 0
            try:
                main(words)
            except SystemExit as ended:
                code = ended.code
            assert isinstance(code, int)
            return code, _text(screen)

    def _python(self, block: Block) -> str:
        program = compile(self._real(block.text), block.where, "exec")
        with _screen() as screen:
            exec(program, self._variables)
            return self._shown(_text(screen))

    def _compare(self, where: str, shown: list[str], printed: str) -> None:
        printed = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
        if not self._examples.learn(shown, printed):
            expected = "".join(f"{line}\n" for line in shown)
            raise PageDiffers(f"{where}\n--- shows\n{expected}--- but prints\n{printed}")

    def _real(self, text: str) -> str:
        """What is really typed where the page says this."""
        for name, real in self._names.items():
            text = re.sub(rf"(?<![\w/.-]){re.escape(name)}(?![\w/.-])", real, text)
        return self._examples.real(text)

    def _shown(self, text: str) -> str:
        """What the page would show of it."""
        for name, real in self._names.items():
            text = text.replace(real, name)
        return text


def atlases_of(page: Path) -> list[str]:
    """The atlases that a page speaks of."""
    text = page.read_text(encoding="utf-8")
    return sorted({first or second for first, second in _ATLAS.findall(text)})


@contextlib.contextmanager
def _running(text: str, folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    with (folder / "background.log").open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {text}"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)


@contextlib.contextmanager
def _screen() -> Iterator[io.TextIOWrapper]:
    """Standard output and standard error, as somebody at a terminal sees them."""
    screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(screen), contextlib.redirect_stderr(screen):
        yield screen


def _text(screen: io.TextIOWrapper) -> str:
    screen.flush()
    raw = screen.buffer
    assert isinstance(raw, io.BytesIO)
    return raw.getvalue().decode()


@contextlib.contextmanager
def _stdin(keyboard: io.TextIOWrapper) -> Iterator[None]:
    before = sys.stdin
    sys.stdin = keyboard
    try:
        yield
    finally:
        sys.stdin = before
