"""A clock that a test turns by hand."""


class Clock:
    """Says what it is told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
