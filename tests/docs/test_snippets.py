"""The follower of pages notices what is not so."""

import os
from pathlib import Path

import pytest

from tests.docs.blocks import blocks_of
from tests.docs.snippets import PageDiffers, Reader, atlases_of

ID, OTHER = "0b8f6d2e-0c4e-4a53-9f6e-2f1f2f3a4b5c", "11111111-2222-4333-8444-555555555555"


def follow(folder: Path, text: str, **names: str) -> int:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return Reader(folder, names, os.environ).follow(page)


def console(*lines: str) -> str:
    return "\n".join(["```console", *lines, "```", ""])


def test_what_is_so_passes(tmp_path: Path) -> None:
    text = "# Page\n\n```text a.txt\none\ntwo\n```\n\n" + console(
        "$ cat a.txt", "one", "two", "$ cat \\", "    a.txt", "…", "two", "$ false  # exits with 1"
    )
    assert follow(tmp_path, text) == 2


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (("$ echo one", "two"), "but prints\none"),
        (("$ echo one",), "but prints\none"),
        (("$ true", "one"), "shows\none"),
        (("$ printf 'one\\ntwo\\n'", "two", "one"), "but prints\none\ntwo"),
        (("$ false",), "exits with 1, not 0"),
        (("$ true  # exits with 1",), "exits with 0, not 1"),
        (("$ polly-bulk no-such-command",), "exits with 2, not 0"),
    ],
)
def test_what_is_not_so_is_told_with_its_line(
    tmp_path: Path, lines: tuple[str, ...], expected: str
) -> None:
    with pytest.raises(PageDiffers, match=r"page\.md line 4") as told:
        follow(tmp_path, f"# Page\n\n{console(*lines)}")
    assert expected in str(told.value)


@pytest.mark.parametrize("info", ["", "sh", "yaml", "bash file.sh"])
def test_no_block_is_skipped(tmp_path: Path, info: str) -> None:
    with pytest.raises(PageDiffers, match="nobody knows what to do"):
        follow(tmp_path, f"```{info}\nsomething\n```\n")


def test_a_block_that_is_not_closed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("```console\n$ true\n")
    with pytest.raises(AssertionError, match="not closed"):
        list(blocks_of(tmp_path / "page.md"))


def test_an_example_stands_for_one_thing(tmp_path: Path) -> None:
    """An id of the page is bound by the first output, then typed, shortened, and expected."""
    shown = console(f"$ echo run {OTHER}", f"run {ID}", f"$ echo {ID[:8]} {ID}", f"{ID[:8]} {ID}")
    assert follow(tmp_path, shown) == 1
    bound = console(f"$ echo {OTHER}", ID, f"$ test {ID[:8]} = {OTHER[:8]}")
    assert follow(tmp_path, bound) == 1
    with pytest.raises(PageDiffers, match="but prints"):
        follow(tmp_path, console(f"$ echo {OTHER}", ID, "$ echo 22222222-2222-4333-8444-5", ID))


def test_times_and_names_are_examples(tmp_path: Path) -> None:
    text = console(
        "$ echo lab 2026-01-02T03:04:05.67, 1.5 s", "lab 2025-10-10T10:10:10.11, 0.1 s",
        "$ echo 2025-10-10T10:10:10.11 > lab; cat real", "2025-10-10T10:10:10.11",
    )  # fmt: skip
    assert follow(tmp_path, text, lab="real") == 1
    assert (tmp_path / "real").read_text() == "2026-01-02T03:04:05.67\n"


def test_times_of_one_second_need_not_be_equal(tmp_path: Path) -> None:
    shown = "2025-10-10T10:10:10"
    text = console("$ echo 2026-01-02T03:04:05", shown, "$ echo 2026-01-02T03:04:06", shown)
    assert follow(tmp_path, text) == 1
    with pytest.raises(PageDiffers, match="but prints"):
        follow(tmp_path, console("$ echo some time", shown))


def test_python_prints_what_is_shown(tmp_path: Path) -> None:
    good = "```python\nvalue = 2\n```\n```python\nprint(value + 1)\n```\n```output\n3\n```\n"
    assert follow(tmp_path, good) == 3
    with pytest.raises(PageDiffers, match="but prints\n3"):
        follow(tmp_path, good.replace("\n3\n", "\n4\n"))


def test_questions_are_answered_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import click

    from tests.docs import snippets

    def asks(words: list[str]) -> None:
        click.echo("yes" if click.confirm("Sure?", err=True) else "no")

    monkeypatch.setattr(snippets, "main", asks)
    assert follow(tmp_path, console("$ polly-bulk ask", "Sure? [y/N]: y", "yes")) == 1
    assert follow(tmp_path, console("$ polly-bulk ask", "Sure? [y/N]: n", "no")) == 1


def test_what_runs_beside_a_page_ends_with_it(tmp_path: Path) -> None:
    text = console("$ sleep 300 &", "$ echo on", "on")
    assert follow(tmp_path, text) == 1
    assert (tmp_path / "background.log").exists()


def test_atlases_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('polly-bulk copy --from staging --to production\nomixatlas_id="lab"\n')
    assert atlases_of(page) == ["lab", "production", "staging"]
