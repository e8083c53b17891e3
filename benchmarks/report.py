"""The table, and the targets with a verdict each."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.contenders import Result
from polly_core.models.jsonvalue import Model


class Verdict(Model):
    """One target. ``met`` is None where a contender it needs did not run."""

    what: str
    target: str
    found: float | None
    met: bool | None


Figure = Callable[[Result], float]


def judge(results: Sequence[Result]) -> list[Verdict]:
    """Every target against what was measured."""
    by_name = {each.name: each for each in results}

    def ratio(
        what: str, names: str, figure: Figure, *, least: float = 0, most: float = 0
    ) -> Verdict:
        over, _, under = names.partition("/")
        known = over in by_name and under in by_name
        found = figure(by_name[over]) / figure(by_name[under]) if known else None
        return _verdict(what, found, least=least, most=most, unit="x")

    def value(what: str, name: str, figure: Figure, *, most: float, unit: str) -> Verdict:
        found = figure(by_name[name]) if name in by_name else None
        return _verdict(what, found, most=most, unit=unit)

    wall: Figure = lambda each: each.seconds  # noqa: E731
    cpu: Figure = lambda each: each.process_cpu_ms  # noqa: E731
    memory: Figure = lambda each: each.peak_mb  # noqa: E731
    return [
        ratio("documented loop / ours", "loop10/ours64", wall, least=6),
        ratio("documented loop / ours at its concurrency", "loop10/ours10", wall, least=1.2),
        ratio("ours / limit", "ours64/limit64", wall, most=1.25),
        value("CPU per dataset", "ours64", cpu, most=1.7, unit=" ms"),
        ratio("documented loop / ours verified", "loop10/ours64v", wall, least=3.7),
        ratio("ours verified / its limit", "ours64v/limit64v", wall, most=1.25),
        value("CPU per dataset verified", "ours64v", cpu, most=2.5, unit=" ms"),
        value("peak memory", "ours64", memory, most=200, unit=" MB"),
        ratio("peak memory of the large run / peak memory", "large64/ours64", memory, most=1.2),
        value(
            "writes of a second application", "again64", lambda each: each.writes, most=0, unit=""
        ),
    ]


def _verdict(
    what: str, found: float | None, *, least: float = 0, most: float = 0, unit: str
) -> Verdict:
    target = f"≥ {least:g}{unit}" if least else f"≤ {most:g}{unit}"
    met = None if found is None else (found >= least if least else found <= most)
    return Verdict(what=what, target=target, found=found, met=met)


def print_table(results: Sequence[Result]) -> None:
    """All figures, one line a contender."""
    table = Table(title="bulk metadata update", title_justify="left")
    for name in (
        "contender",
        "datasets",
        "wall s",
        "process s",
        "CPU ms",
        "process CPU ms",
        "peak MB",
        "in flight",
        "stub",
        "calls",
        "right",
    ):
        table.add_column(name, justify="left" if name in {"contender", "calls"} else "right")
    for each in results:
        calls = " ".join(f"{name} {count}" for name, count in sorted(each.calls.items()))
        table.add_row(
            f"{each.name}: {each.what}",
            f"{each.n:,}",
            f"{each.seconds:.1f}",
            f"{each.process_seconds:.1f}",
            f"{each.cpu_ms:.2f}",
            f"{each.process_cpu_ms:.2f}",
            f"{each.peak_mb:.0f}",
            str(each.peak_in_flight),
            f"{each.stub_load:.0%}",
            calls,
            "yes" if each.right else "NO",
        )
    Console(width=200).print(table)


def print_targets(verdicts: Sequence[Verdict]) -> None:
    """One line a target."""
    table = Table(title="targets", title_justify="left")
    for name in ("what", "target", "found", "verdict"):
        table.add_column(name)
    words = {True: "met", False: "FAILED", None: "not run"}
    for each in verdicts:
        found = "" if each.found is None else f"{each.found:.2f}"
        table.add_row(each.what, each.target, found, words[each.met])
    Console(width=120).print(table)
