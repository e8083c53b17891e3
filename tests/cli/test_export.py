"""Export, edit as people do, give back: against a real atlas."""

import csv
import io
import json
from pathlib import Path

import pytest

from polly_core.models.jsonvalue import JsonObject
from tests.cli.test_commands import Said, User
from tests.support.atlas import RunningAtlas
from tests.support.datasets import fill
from tests.support.wire import WireCaller

DATASETS: dict[str, JsonObject] = {
    "D0": {"organism": "human", "age": 41, "sample": {"organ": "liver"}, "tags": ["a"]},
    "D1": {"organism": "mouse", "age": None, "note": "<delete>", "=x": '=1+"2"'},
    "D2": {"organism": "", "bmi": 22.5, "tags": [], "ü": "\ud83e\uddec, \n"},
}


@pytest.fixture
def user(
    atlas: RunningAtlas, atlas_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> User:
    fill(atlas, atlas_id, DATASETS)
    return User(atlas, atlas_id, tmp_path, capsys)


def export(user: User, name: str, *words: str) -> str:
    path = str(user.home / name)
    said = user.types("export", "--atlas", user.atlas_id, "-o", path, *words)
    assert said.code == 0, said.err
    return path


def planned(user: User, path: str, *words: str) -> dict[str, object]:
    said = user.update("--manifest", path, "--dry-run", "--output", "json", *words)
    assert said.code == 0, said.err
    plan: dict[str, object] = said.document()["plan"]  # type: ignore[assignment]
    return plan


@pytest.mark.parametrize("name", ["s.csv", "s.tsv", "s.jsonl", "s.parquet"])
def test_a_sheet_that_was_not_edited_changes_nothing(user: User, name: str) -> None:
    path = export(user, name)
    assert planned(user, path)["counts"] == {"unchanged": 3}
    assert [p.name for p in user.home.iterdir() if p.name.startswith("s.")] == [name]


def test_an_edited_sheet_changes_the_edited_cells_of_the_version_it_shows(
    user: User, atlas: RunningAtlas
) -> None:
    path = Path(export(user, "sheet.csv", "--excel"))
    lines = list(csv.reader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
    head = lines[0]
    # Columns moved, one removed; a cell edited in two datasets.
    kept = [name for name in reversed(head) if name != "metadata.tags:json"]
    table = [dict(zip(head, line, strict=True)) for line in lines[1:]]
    table[0]["metadata.organism:str"] = "Homo sapiens"
    table[1]["metadata.age:int"] = "7"
    table[2]["metadata.bmi:float"] = "<delete>"
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(kept)
    writer.writerows([[row[name] for name in kept] for row in table])
    path.write_bytes(text.getvalue().encode("utf-8-sig"))
    # Meanwhile somebody else edits another field of one, and the same field of another.
    _foreign(atlas, user.atlas_id, "D0", {**DATASETS["D0"], "age": 99})
    _foreign(atlas, user.atlas_id, "D1", {**DATASETS["D1"], "age": 8})
    said = user.update("--manifest", str(path), "--dry-run", "--output", "json")
    document = said.document()
    plan = document["plan"]
    assert isinstance(plan, dict)
    assert plan["counts"] == {"planned": 2, "invalid": 1}
    report = user.types("report", str(document["run_id"]), "--only", "invalid")
    [refused] = map(json.loads, report.out.splitlines())
    assert refused["dataset_id"] == "D1"
    [reason] = refused["reasons"]
    assert reason.startswith("manifest row: field age: expected null, as in version ")
    assert reason.endswith("found 8 by now; the sheet wants 7; export again, or empty the cell")
    file = user.home / "plan.jsonl"
    words = ("--atlas", user.atlas_id, "--manifest", str(path), "-o", str(file))
    # One of the items is refused.
    assert user.types("plan", "update", *words).code == 1
    items = [json.loads(line) for line in file.read_text().splitlines()[1:-1]]
    found = {one["dataset_id"]: one["planned"]["patch"] for one in items if "planned" in one}
    assert found == {
        "D0": [{"op": "replace", "path": "/organism", "value": "Homo sapiens", "before": "human"}],
        "D2": [{"op": "remove", "path": "/bmi", "before": 22.5}],
    }


def _foreign(atlas: RunningAtlas, atlas_id: str, dataset_id: str, metadata: JsonObject) -> None:
    caller = WireCaller(atlas.api_url, atlas.api_key)
    try:
        answer = caller.update(atlas_id, dataset_id, metadata=metadata)
        assert answer.status == 200, answer.body
    finally:
        caller.close()


def test_a_selection_and_fields_are_exported(user: User) -> None:
    where = ("--where", "metadata.organism == 'human'")
    path = export(user, "one.csv", *where, "--field", "sample", "--field", "age")
    [head, row] = Path(path).read_text().splitlines()
    assert head == "dataset_id,base_version,data_type,metadata.age:int,metadata.sample.organ:str"
    assert row.startswith("D0,")
    assert row.endswith(",41,liver")
    ids = user.file("ids.txt", "D2\nD0\n")
    lines = Path(export(user, "two.jsonl", "--ids", ids)).read_text().splitlines()
    assert [json.loads(line)["dataset_id"] for line in lines] == ["D2", "D0"]
    none = export(user, "none.csv", "--where", "dataset_id == 'x'", "--field", "sample")
    assert Path(none).read_text() == "dataset_id,base_version,data_type\n"
    assert planned(user, none)["counts"] == {}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("-o", "x.xlsx"), "expected a name that ends in .csv"),
        (("-o", "x.csv", "--field", "@data_type"), "expected a metadata field"),
        (
            ("-o", "x.csv", "--field", "note", "--field", "organsm"),
            "organsm (did you mean organism?)",
        ),
        (
            ("-o", "x.csv", "--field", "sample.organs"),
            "(did you mean sample.organ?): found in none of",
        ),
        (
            ("-o", "x.csv", "--field", "zz"),
            "zz: found in none of 3 selected datasets, which have =x,",
        ),
        (("-o", "x.csv", "--field", "age.years"), "correct the name or leave it away"),
        (
            ("-o", "x.csv", "--where", "metadata.bmi", "--field", "age"),
            "1 selected dataset, which have",
        ),
        (("-o", "x.csv", "--where", "metadata."), "--where"),
        (("-o", "x.csv", "--ids", "-"), "dataset absent of the selection"),
    ],
)
def test_what_cannot_be_exported_leaves_no_file(
    user: User, words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(user.home)
    said: Said = user.types("export", "--atlas", user.atlas_id, *words, stdin="D0\nabsent\n")
    assert said.code == 2, said
    assert told in said.err
    assert not [p for p in user.home.iterdir() if p.name.startswith("x.")]


def test_an_unknown_base_is_refused(user: User) -> None:
    path = user.file("s.csv", "dataset_id,base_version,metadata.a\nD0,nowhere,x\n")
    said = user.update("--manifest", path, "--dry-run")
    assert "base_version nowhere is no version of dataset" in said.out, said
