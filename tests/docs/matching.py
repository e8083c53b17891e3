"""Compares what a page shows with what a program printed, where some of it differs every time.

Ids, digests and times in a page are examples: one stands for what is found in its place the first
time, and for the same from then on, in later output, commands and files. Durations, and times
without fractions of a second, are any. ``…`` stands for anything within a line, and alone on a line
for any lines.
"""

import re
from collections.abc import Iterator

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
_HEX = r"(?<![\w-])(?=[0-9a-f]*\d)[0-9a-f]{8,64}(?![\w-])"
_TOKEN = re.compile(rf"{_UUID}|{_TIME}|{_HEX}")
_SECONDS = re.compile(r"\d+\.\d+ s\b")
_VARYING = re.compile(rf"(?P<any>…)|(?P<seconds>{_SECONDS.pattern})|(?P<token>{_TOKEN.pattern})")


class Examples:
    """What the ids and times of a page stand for."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def real(self, text: str) -> str:
        """The text of a page with what its examples stand for."""
        return _TOKEN.sub(lambda match: self._find(match.group()) or match.group(), text)

    def learn(self, shown: list[str], printed: str) -> bool:
        """Whether it was printed just so; what the examples stand for is known then."""
        names: dict[str, str] = {}
        pattern = "".join(self._lines(shown, names))
        found = re.fullmatch(pattern, printed)
        if found is None:
            return False
        self._known.update({token: found.group(name) for token, name in names.items()})
        return True

    def _find(self, token: str) -> str | None:
        if token in self._known:
            return self._known[token]
        # An id may be given by its beginning.
        longer = (known for known in self._known if known.startswith(token))
        found = next(longer, None) if re.fullmatch(_HEX, token) else None
        return None if found is None else self._known[found][: len(token)]

    def _lines(self, shown: list[str], names: dict[str, str]) -> Iterator[str]:
        for line in shown:
            if line.strip() == "…":
                yield r"(?:[^\n]*\n)*?"
            else:
                yield "".join(self._parts(line, names)) + r"\n"

    def _parts(self, line: str, names: dict[str, str]) -> Iterator[str]:
        position = 0
        for match in _VARYING.finditer(line):
            yield re.escape(line[position : match.start()])
            position = match.end()
            if match.group("any"):
                yield r"[^\n]*?"
            elif match.group("seconds"):
                yield r"\d+\.\d+ s"
            else:
                yield self._token(match.group(), names)
        yield re.escape(line[position:])

    def _token(self, token: str, names: dict[str, str]) -> str:
        if re.fullmatch(_TIME, token) and "." not in token:
            # Two things that happen in one second need not do so the next time.
            return _shape(token)
        found = self._find(token)
        if found is not None:
            return re.escape(found)
        if token in names:
            return f"(?P={names[token]})"
        names[token] = f"e{len(names)}"
        return f"(?P<{names[token]}>{_shape(token)})"


def _shape(token: str) -> str:
    if re.fullmatch(_UUID, token):
        return _UUID
    if re.fullmatch(_TIME, token):
        return re.sub(r"\d", r"\\d", re.escape(token))
    return f"[0-9a-f]{{{len(token)}}}"
