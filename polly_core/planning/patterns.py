"""Regular expressions that end: each match has a second, however the pattern was written."""

from collections.abc import Callable
from typing import Any, TypeVar

from polly_core.errors import InvalidInput
from polly_core.planning.state import Refused

SECONDS = 1.0
T = TypeVar("T")


class CompiledPattern:
    """A compiled regular expression, in the syntax of ``re``. Thread-safe."""

    def __init__(self, title: str, text: str, *, ignore_case: bool = False) -> None:
        """Compile.

        Raises:
            InvalidInput: it is no regular expression.
        """
        # Python's own module cannot be stopped, and holds every thread up while it searches.
        import regex

        try:
            self._compiled: Any = regex.compile(
                text, regex.VERSION0 | (regex.IGNORECASE if ignore_case else 0)
            )
        except regex.error as error:
            raise InvalidInput(
                f"{title}: {text!r} is no regular expression: {error}; a backslash is written "
                "twice between double quotes"
            ) from None
        self.text = text

    def split(self, text: str, *, field: str, seconds: float = SECONDS) -> list[str]:
        """The parts between the matches; groups are no parts."""

        def parts() -> list[str]:
            found: list[str] = []
            start = 0
            for match in self._compiled.finditer(text, timeout=seconds, concurrent=True):
                if match.end() > match.start():
                    found.append(text[start : match.start()])
                    start = match.end()
            return [*found, text[start:]]

        return self._bounded(parts, field, text, seconds)

    def substitute(
        self, replacement: str, text: str, *, field: str, count: int = 0, seconds: float = SECONDS
    ) -> tuple[str, int]:
        """The text with the matches replaced, and how many there were."""

        def replaced() -> tuple[str, int]:
            made: tuple[str, int] = self._compiled.subn(
                replacement, text, count=count, timeout=seconds, concurrent=True
            )
            return made

        return self._bounded(replaced, field, text, seconds)

    def check_replacement(self, title: str, replacement: str) -> None:
        """Raises ``InvalidInput`` where it names a group that the pattern does not have."""
        import regex

        try:
            # A template is compiled where something matches: here the empty text does.
            regex.subn(f"|(?:{self.text})", replacement, "", flags=regex.VERSION0)
        except (regex.error, IndexError) as error:
            raise InvalidInput(f"{title}: with {replacement!r} cannot be used: {error}") from None

    def _bounded(self, act: Callable[[], T], field: str, text: str, seconds: float) -> T:
        try:
            return act()
        except TimeoutError:
            raise Refused(
                field,
                f"{self.text!r} to be found within {seconds:g} s",
                f"a text of {len(text)} characters on which it takes longer; repetitions inside "
                "of repetitions, as in (a+)+, do that",
            ) from None
