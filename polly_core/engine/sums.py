"""``SHA256SUMS``: what ``sha256sum -c`` reads, written and checked."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from polly_core.errors import InvalidInput
from polly_core.operations.fetching import sha256_of

SUMS = "SHA256SUMS"
_DIGEST_LENGTH = 64


def sum_line(digest: str, name: str) -> str:
    """A line; names that hold line ends are written as ``sha256sum`` writes them."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"


def read_sums(path: Path) -> Iterator[tuple[str, str]]:
    """Each digest with the name of its file, streamed.

    Raises:
        InvalidInput: it cannot be read, or is no list of sums.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                yield _parsed(line.removesuffix("\n"), f"{path}, line {number}")
    except OSError as error:
        raise InvalidInput(
            f"{path} cannot be read ({error.strerror}); name the folder of a bundle"
        ) from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is no list of SHA-256 sums: it is no text") from error


def _parsed(line: str, place: str) -> tuple[str, str]:
    body = line.removeprefix("\\")
    digest, name = body[:_DIGEST_LENGTH], body[_DIGEST_LENGTH + 2 :]
    if not name or not set(digest) <= set("0123456789abcdef") or body[_DIGEST_LENGTH] != " ":
        raise InvalidInput(f"{place}: expected a SHA-256 sum and a file name, found {line[:90]!r}")
    if body != line:
        name = _unescaped(name)
    return digest, name


def _unescaped(name: str) -> str:
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), name)


@dataclass(frozen=True, slots=True)
class Checked:
    """What checking a bundle came to."""

    files: int
    problems: tuple[str, ...]
    """Each names its file."""


def check_sums(folder: Path) -> Checked:
    """Whether a folder holds exactly the files that its sums name, with that content.

    Raises:
        InvalidInput: there are no sums.
    """
    names: set[str] = set()
    problems: list[str] = []
    for digest, name in read_sums(folder / SUMS):
        names.add(name)
        problem = _problem(folder, name, digest)
        if problem:
            problems.append(f"{name}: {problem}")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in names and name != SUMS and (path.is_symlink() or not path.is_dir()):
            problems.append(f"{name}: it is not in {SUMS}; it was added later")
    return Checked(len(names), tuple(problems))


def _problem(folder: Path, name: str, digest: str) -> str:
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts:
        return f"{SUMS} names a file outside of the bundle"
    path = folder / name
    if path.is_symlink() or not path.is_file():
        return "it is missing"
    found = sha256_of(path)
    if found != digest:
        return f"it was changed: expected SHA-256 {digest[:12]}…, found {found[:12]}…"
    return ""
