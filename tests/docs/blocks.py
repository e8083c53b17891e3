"""The fenced blocks of a page: what is typed, what is shown, and the files that are written."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(.*)$")
_CODE = re.compile(r"\s+# exits with (\d+)$")
_ANSWER = re.compile(r"\[y/N\]: *(\S*)$")
FILES = frozenset({"yaml", "csv", "tsv", "json", "python", "text"})
"""Languages whose blocks are files, where a name follows."""


@dataclass(frozen=True)
class Block:
    """One fenced block, and the line of the page that it begins on."""

    page: str
    line: int
    info: str
    text: str

    @property
    def where(self) -> str:
        return f"{self.page} line {self.line}"

    @property
    def file_name(self) -> str | None:
        """The file it is to be written to, where its info string names one."""
        language, _, name = self.info.partition(" ")
        return name.strip() if language in FILES and name.strip() else None


@dataclass(frozen=True)
class Command:
    """A command, what its reader sees of it, and how it ends."""

    line: int
    text: str
    shown: tuple[str, ...]
    code: int

    @property
    def answers(self) -> str:
        """What is typed at its questions."""
        found = [match.group(1) for line in self.shown if (match := _ANSWER.search(line))]
        return "".join(f"{answer}\n" for answer in found)


def blocks_of(path: Path) -> Iterator[Block]:
    """Every fenced block, in order."""
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened, lines = (number, fence.group(1).strip()), []
        else:
            yield Block(path.name, *opened, "".join(f"{one}\n" for one in lines))
            opened = None
    assert opened is None, f"{path.name} line {opened}: the block is not closed"


def commands_of(block: Block) -> list[Command]:
    """The commands of a console block. A command ends in ``\\`` where it goes on."""
    found: list[Command] = []
    lines = list(enumerate(block.text.splitlines(), block.line + 1))
    while lines:
        number, line = lines.pop(0)
        assert line.startswith("$ "), f"{block.page} line {number}: expected '$ ' and a command"
        typed = line[2:]
        while typed.endswith("\\"):
            typed = f"{typed[:-1].rstrip()} {lines.pop(0)[1].strip()}"
        shown: list[str] = []
        while lines and not lines[0][1].startswith("$ "):
            shown.append(lines.pop(0)[1].rstrip())
        ending = _CODE.search(typed)
        code = int(ending.group(1)) if ending else 0
        found.append(Command(number, _CODE.sub("", typed), tuple(shown), code))
    return found
