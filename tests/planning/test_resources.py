import hashlib
from pathlib import Path

import pytest

from polly_core.errors import InvalidInput
from polly_core.planning.resources import (
    change_of,
    files_beside,
    load_change,
    load_resources,
    parse_change,
    parse_document,
)
from tests.planning.support import result

TEXT = "steps:\n  - {map: a, vocabulary: sub/v.yaml}\n  - {join: t.csv}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "v.yaml").write_text("a: b\n")
    (tmp_path / "t.csv").write_text("dataset_id,x\nGSE1,1\n")
    (tmp_path / "change.yaml").write_text(TEXT)
    return tmp_path


def test_files_are_found_beside_the_change_and_pinned(folder: Path) -> None:
    loaded = load_change(folder / "change.yaml")
    assert dict(loaded.resources) == {
        "sub/v.yaml": b"a: b\n",
        "t.csv": b"dataset_id,x\nGSE1,1\n",
    }
    assert loaded.digests["sub/v.yaml"] == hashlib.sha256(b"a: b\n").hexdigest()
    again = load_resources(
        change_of(loaded.change.to_json(), "ledger"),
        files_beside(folder / "change.yaml"),
        pinned=loaded.digests,
    )
    assert again == loaded


def test_a_file_that_changed_since_the_start_is_refused(folder: Path) -> None:
    loaded = load_change(folder / "change.yaml")
    (folder / "t.csv").write_text("dataset_id,x\nGSE1,2\n")
    with pytest.raises(InvalidInput, match=r"t.csv is not the file this run was started with"):
        load_resources(loaded.change, files_beside(folder / "change.yaml"), pinned=loaded.digests)


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    (folder / "t.csv").unlink()
    with pytest.raises(InvalidInput, match=r"t.csv, which change.yaml refers to, cannot be read"):
        load_change(folder / "change.yaml")
    with pytest.raises(InvalidInput, match=r"the change file cannot be read: .*gone.yaml"):
        load_change(folder / "gone.yaml")


def test_every_problem_of_a_change_is_named_at_once() -> None:
    text = b"""
steps:
  - {set: a}
  - {sett: a, value: 1}
  - {rename: a, to: 'b..c'}
  - {map: a, vocabulary: {x: y}, unmatched: drop}
extra: 1
"""
    with pytest.raises(InvalidInput) as caught:
        parse_change(text, "c.yaml")
    lines = str(caught.value).splitlines()
    assert lines[0] == "c.yaml is no usable change:"
    assert lines[1] == "  step 1 (set), value: Field required"
    assert lines[2].startswith("  step 2, expected a mapping with exactly one of the keys set")
    assert lines[3].startswith("  step 3 (rename), to: field 'b..c', position 3")
    assert lines[4].startswith("  step 4 (map), unmatched: Input should be 'keep'")
    assert lines[4].endswith('; found "drop"')
    assert lines[5] == "  extra: Extra inputs are not permitted; found 1"


def test_yaml_is_read_as_people_mean_it() -> None:
    text = b"""
country: NO
answer: no
yes: on
date: 2020-01-01
time: 12:30
id: 007
hex: 0x1F
number: 12
float: 1.5e3
half: .5
truth: true
nothing: null
empty:
9606: human
base: &base {a: 1}
more: {<<: *base, b: 2}
"""
    assert parse_document(text, "x.yaml") == {
        "country": "NO",
        "answer": "no",
        "yes": "on",
        "date": "2020-01-01",
        "time": "12:30",
        "id": "007",
        "hex": "0x1F",
        "number": 12,
        "float": 1500.0,
        "half": 0.5,
        "truth": True,
        "nothing": None,
        "empty": None,
        "9606": "human",
        "base": {"a": 1},
        "more": {"a": 1, "b": 2},
    }


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (b"a: [", "x.yaml", "x.yaml cannot be parsed: .*line 1"),
        (b"a: 1\na: 2\n", "x.yaml", "the key 'a' is there twice.*line 1"),
        (b"a: 1e999\n", "x.yaml", "it holds inf at the top.a, which is not JSON"),
        (b"a: !!python/object:os.system x\n", "x.yaml", "could not determine a constructor"),
        (b"a: 1\nb: \xe9\n", "x.yaml", "x.yaml, line 2: not UTF-8"),
        (b'{"a": NaN}', "x.json", "NaN is not JSON"),
        (b'{"a": 1e999}', "x.json", "the number 1e999 is too large"),
    ],
)
def test_refuses_what_is_not_json(text: bytes, name: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        parse_document(text, name)


def test_a_change_must_be_a_mapping() -> None:
    with pytest.raises(InvalidInput, match=r'mapping with steps, found \[{"set": "a"}\]'):
        parse_change(b"- set: a", "x.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "expected a mapping with steps, found null"),
        (b"steps: null", "steps: expected a list; found null"),
        (b"steps: [{set: null, value: 1}]", "set: expected a text; found null"),
        (b"steps: [{map: a, vocabulary: [1]}]", "vocabulary: expected a mapping; found [1]"),
        (b"steps: [{unset: a, missing: true}]", "; found true"),
        (b"steps: [a, {b", "while parsing a flow mapping in line 1, column 12"),
    ],
)
def test_what_was_found_is_told_in_words_of_json(text: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_change(text, "c.yaml")
    assert message in str(caught.value)
    assert "NoneType" not in str(caught.value)
    assert "unicode string" not in str(caught.value)


@pytest.mark.parametrize(
    "step",
    [
        "{set: metadata.title, value: x}",
        "{unset: metadata.title}",
        "{rename: title, to: metadata.title}",
        "{map: x, from: metadata.title, vocabulary: {}}",
        "{split: title, separator: ';', into: [a, metadata.title]}",
        "{compute: metadata.title, expression: metadata.x}",
        "{join: t.csv, columns: {x: metadata.title}}",
        "{call: 'a:b', field: metadata.title}",
    ],
)
def test_the_prefix_of_expressions_is_refused_in_fields(step: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_change(f"steps: [{step}]".encode(), "c.yaml")
    assert "did you mean title?" in str(caught.value)
    assert 'is written "metadata".title' in str(caught.value)


def test_an_object_that_is_called_as_the_prefix_is_quoted() -> None:
    made = result("steps: [{set: '\"metadata\".title', value: x}]", {"metadata": {"n": 1}})
    assert made == {"metadata": {"n": 1, "title": "x"}}
