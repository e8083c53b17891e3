"""Whether another process of this host still lives."""

import subprocess
import sys
from pathlib import Path

import pytest

from polly_core.engine import process

_SAY = "from polly_core.engine.process import this_process; print(this_process(), flush=True); "
_WAIT = _SAY + "import sys; sys.stdin.read()"


def test_this_process_lives() -> None:
    assert not process.is_gone(process.this_process())


def test_a_process_lives_until_it_ends_even_if_nobody_collects_it() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert name != process.this_process()
        assert not process.is_gone(name)
        other.kill()
        # It is a zombie from here on: its number is not free yet.
        while Path(f"/proc/{other.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            pass
        assert process.is_gone(name)
    assert process.is_gone(name)


def test_another_process_with_the_same_number_is_another() -> None:
    *rest, started = process.this_process().split("/")
    assert process.is_gone("/".join([*rest, str(int(started) - 1)]))


@pytest.mark.parametrize("part", [0, 1, 2])
def test_nothing_is_known_of_other_hosts_boots_and_namespaces(part: int) -> None:
    parts = process.this_process().split("/")
    assert len(parts) == 5
    parts[part] = "elsewhere"
    parts[3] = "999999999"
    assert not process.is_gone("/".join(parts))


@pytest.mark.parametrize("name", ["", "host", "host:2", "a/b/c/d/e", "/////"])
def test_names_that_say_nothing_are_taken_for_living(name: str) -> None:
    assert not process.is_gone(name)


def test_where_there_is_no_proc_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_PROC", tmp_path)
    name = process.this_process()
    assert name.count("/") == 4
    assert not process.is_gone(name)
