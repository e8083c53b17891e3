import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from polly_core.errors import InvalidInput, RunMismatch
from polly_core.models.catalog import AtlasId, CatalogRef, DatasetId, VersionId
from polly_core.models.jsonvalue import JsonObject
from polly_core.models.run import (
    Decision,
    Invalid,
    Item,
    OperationName,
    Planned,
    RunSpec,
    Skipped,
    Unchanged,
    Wanted,
)
from polly_core.models.selection import Selection
from polly_core.planning import summary as summary_module
from polly_core.planning.diff import diff
from polly_core.planning.plan import PlanDigest, PlanFile, read_plan, write_plan
from polly_core.planning.summary import PlanTally
from tests.planning.support import record

CATALOG = CatalogRef(api_url="http://127.0.0.1:1", atlas_id=AtlasId("9"), instance_id="i")
SPEC = RunSpec(
    catalog=CATALOG,
    operation=OperationName.UPDATE,
    change={"steps": [{"set": "a", "value": 1.0}]},
    selection=Selection(where="data_type == 'x'"),
    files={"v.yaml": "0" * 64},
)


def planned(number: int, before: JsonObject, after: JsonObject, to: str | None = None) -> Planned:
    seen = record(f"GSE{number}")
    return Planned(
        seen=seen,
        patch=diff(before, after),
        wanted=Wanted(
            metadata_digest="0" * 64,
            data_type=to or seen.data_type,
            data_format=seen.data_format,
            data_location=seen.data_location,
        ),
        side_effects=("re-ingested",),
    )


def items(count: int = 12) -> Iterator[tuple[Item, Decision]]:
    for number in range(count):
        item = Item(
            seq=number,
            dataset_id=DatasetId(f"GSE{number}"),
            row={"metadata.x": 1.0} if number % 3 == 0 else None,
        )
        decisions: list[Decision] = [
            planned(number, {"a": "human", "b": None}, {"a": "Homo sapiens", "c": [1]}),
            Unchanged(version_seen=VersionId("v1")),
            Invalid(reasons=("step 1 (set): field a: expected x, found y",)),
            planned(number, {"n": number}, {"n": float(number)}, to="Single cell"),
            Skipped(reason="exists"),
        ]
        yield item, decisions[number % len(decisions)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "plan.jsonl"
    write_plan(path, SPEC, items())
    return path


def test_a_plan_is_read_as_it_was_written(path: Path) -> None:
    plan = read_plan(path, catalog=CATALOG)
    assert plan.spec == SPEC
    assert plan.footer.items == 12
    assert [(one.item, one.decision) for one in plan.items()] == list(items())


def test_the_same_input_gives_the_same_bytes(path: Path) -> None:
    again = path.with_name("again.jsonl")
    write_plan(again, SPEC, items())
    assert again.read_bytes() == path.read_bytes()


def test_a_ledger_comes_to_the_same_digest(path: Path) -> None:
    digest = PlanDigest(SPEC.digest())
    for item, decision in items():
        stored = type(decision).model_validate_json(decision.model_dump_json())
        digest.add(Item.model_validate_json(item.model_dump_json()), stored)
    assert digest.hexdigest() == read_plan(path).footer.plan_digest


def test_the_digest_depends_on_spec_order_and_content() -> None:
    def digest(spec_digest: str, decided: list[tuple[Item, Decision]]) -> str:
        found = PlanDigest(spec_digest)
        for item, decision in decided:
            found.add(item, decision)
        return found.hexdigest()

    rows = list(items())
    assert digest("a", rows) == digest("a", rows)
    others = [digest("b", rows), digest("a", rows[::-1]), digest("a", rows[:-1])]
    assert digest("a", rows) not in others
    assert len(set(others)) == 3


def test_patches_stand_in_the_file_as_rfc_6902(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0]["polly_bulk_plan"] == 1
    assert lines[1]["planned"]["patch"] == [
        {"op": "replace", "path": "/a", "value": "Homo sapiens", "before": "human"},
        {"op": "remove", "path": "/b", "before": None},
        {"op": "add", "path": "/c", "value": [1]},
    ]
    assert lines[4]["planned"]["patch"][0]["value"] == 3.0
    assert lines[-1]["summary"]["counts"] == {
        "invalid": 2, "planned": 5, "skipped": 2, "unchanged": 3,
    }  # fmt: skip


def edited(path: Path, line: int, old: str, new: str) -> None:
    lines = path.read_text().splitlines(keepends=True)
    assert old in lines[line]
    lines[line] = lines[line].replace(old, new, 1)
    path.write_text("".join(lines))


def test_an_edited_line_is_named(path: Path) -> None:
    edited(path, 1, "Homo sapiens", "Homo Sapiens")
    with pytest.raises(
        InvalidInput, match=r"changed by hand in line 2 \(dataset GSE0\); a plan is"
    ):
        read_plan(path)


def test_an_edited_header_is_refused(path: Path) -> None:
    edited(path, 0, '"value":1.0', '"value":2.0')
    with pytest.raises(InvalidInput, match="changed by hand in line 1"):
        read_plan(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines[:3], *lines[4:]], "says 12 items, found 11"),
        (lambda lines: [*lines[:3], lines[3], *lines[3:]], "says 12 items, found 13"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "lines were moved"),
        (lambda lines: lines[:-1], "cut off after dataset GSE11"),
        (lambda lines: lines[:1], "cut off after its header"),
        (lambda lines: [*lines[:-1], lines[-1][:40]], "is cut off in line 14"),
        (lambda lines: [], "is empty"),
        (lambda lines: lines[1:], "is no plan file"),
        (lambda lines: [*lines[:2], b"garbage\n", *lines[2:]], "line 3, which is no JSON"),
        (lambda lines: [b"dataset_id,x\n"], "is no plan file"),
    ],
)  # fmt: skip
def test_refuses_what_is_not_whole(path: Path, change: object, message: str) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    assert callable(change)
    path.write_bytes(b"".join(change(lines)))
    with pytest.raises(InvalidInput, match=message):
        read_plan(path)


def test_a_plan_of_another_format_is_refused(path: Path) -> None:
    edited(path, 0, '"polly_bulk_plan":1', '"polly_bulk_plan":2')
    with pytest.raises(InvalidInput, match="plan format 2, this program reads format 1"):
        read_plan(path)


@pytest.mark.parametrize(
    "other",
    [
        CATALOG.model_copy(update={"atlas_id": AtlasId("10")}),
        CATALOG.model_copy(update={"api_url": "http://127.0.0.1:2"}),
        CATALOG.model_copy(update={"instance_id": "j"}),
    ],
)
def test_a_plan_for_another_catalog_is_refused(path: Path, other: CatalogRef) -> None:
    with pytest.raises(RunMismatch, match=r"was planned for atlas 9 on .* plan again"):
        read_plan(path, catalog=other)


def test_a_file_swapped_while_it_is_read_is_noticed(path: Path) -> None:
    plan: PlanFile = read_plan(path)
    write_plan(path, SPEC, ((item, Skipped(reason="x")) for item, _ in items()))
    with pytest.raises(InvalidInput, match="was changed while it was read"):
        list(plan.items())


def test_a_plan_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[Item, Decision]]:
        yield from items(3)
        raise KeyboardInterrupt

    path = tmp_path / "plan.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_plan(path, SPEC, broken())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InvalidInput, match=r"cannot be written to .*No such file"):
        write_plan(tmp_path / "gone" / "plan.jsonl", SPEC, items())


def test_summary_groups_identical_changes() -> None:
    tally = PlanTally()
    for item, decision in items(100):
        tally.add(item, decision)
    found = tally.summary()
    assert found.total == 100
    assert found.counts == {"invalid": 20, "planned": 40, "skipped": 20, "unchanged": 20}
    first = found.groups[0]
    assert (first.count, first.example, first.data_type) == (20, "GSE0", None)
    assert first.patch[0] == {
        "op": "replace", "path": "/a", "value": "Homo sapiens", "before": "human",
    }  # fmt: skip
    assert [group.count for group in found.groups[1:]] == [1] * 20
    assert found.groups[1].data_type == ("Bulk RNAseq", "Single cell")
    assert found.ungrouped == 0
    touched = {field.path: (field.add, field.replace, field.remove) for field in found.fields}
    assert touched == {
        "/a": (0, 20, 0), "/b": (0, 0, 20), "/c": (20, 0, 0), "/n": (0, 20, 0),
        "@data_type": (0, 20, 0),
    }  # fmt: skip
    assert [(t.text, t.count) for t in found.side_effects] == [("re-ingested", 40)]
    assert [(t.count, t.example) for t in found.reasons] == [(20, "GSE2")]
    assert [(t.count, t.example) for t in found.skips] == [(20, "GSE4")]


def test_summary_is_bounded() -> None:
    tally = PlanTally()
    total = summary_module.MAX_DISTINCT + 500
    for number in range(total):
        decision = planned(number, {f"f{number}": 1}, {f"f{number}": 2})
        tally.add(Item(seq=number, dataset_id=DatasetId(f"GSE{number}")), decision)
    found = tally.summary()
    assert len(found.groups) == summary_module.SHOWN_GROUPS
    assert found.ungrouped == total - summary_module.SHOWN_GROUPS
    assert len(found.fields) == summary_module.MAX_DISTINCT


def test_reasons_that_differ_only_in_what_was_found_are_one() -> None:
    cast, other = "step 1 (cast): field age: expected a whole number", "step 2 (set): field b: no"
    reasons = [[f'{cast}, found "t {n}"'] for n in range(60)]
    reasons += [["step 3 (map): field x: expected y, found 1"] for _ in range(2)] + [[other]]
    tally = PlanTally()
    for number, found in enumerate(reasons):
        item = Item(seq=number, dataset_id=DatasetId(f"S{number}"))
        tally.add(item, Invalid(reasons=tuple(found)))
    assert [(told.text, told.count, told.example) for told in tally.summary().reasons] == [
        (f'{cast}, found for example "t 0"', 60, "S0"),
        ("step 3 (map): field x: expected y, found 1", 2, "S60"),
        (other, 1, "S62"),
    ]
