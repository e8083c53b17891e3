"""Real migrations of real metadata; every number is also computed without the code under test."""

import copy
import csv
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from polly_core.models.jsonvalue import JsonObject, JsonValue, digest
from polly_core.models.run import PatchOp
from polly_core.planning.diff import apply_patch, diff, invert
from polly_core.planning.resources import load_change
from polly_core.planning.steps import Evaluator
from polly_core.planning.validation import Validator
from tests.planning.realdata import BULK, FOLDER, PROTEOMICS, SINGLE_CELL, Dataset, load

CHANGES = Path(__file__).parent / "changes"
ALLOWED = ["polly_core.planning.functions"]

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"the real input data are not there: {FOLDER}"
)


@pytest.fixture(scope="module")
def datasets() -> list[Dataset]:
    return load()


@pytest.fixture(scope="module")
def migrate(datasets: list[Dataset]) -> Callable[[str], "Migrated"]:
    return lambda name: Migrated(name, datasets)


class Migrated:
    """Every dataset before and after a change, which was checked to change nothing more."""

    def __init__(self, name: str, datasets: list[Dataset]) -> None:
        loaded = load_change(CHANGES / name)
        evaluator = Evaluator(loaded, allowed_modules=ALLOWED)
        validator = Validator(loaded, allowed_modules=ALLOWED)
        self.pairs: list[tuple[Dataset, JsonObject]] = []
        self.patches: list[tuple[PatchOp, ...]] = []
        for dataset in datasets:
            before = copy.deepcopy(dataset.metadata)
            after = evaluator.evaluate(dataset.record, dataset.metadata).metadata
            assert dataset.metadata == before, "the input is never touched"
            ops = diff(before, after)
            assert digest(apply_patch(before, ops)) == digest(after)
            assert digest(apply_patch(after, invert(ops))) == digest(before)
            assert validator.new_problems(before, after) == ()
            again = evaluator.evaluate(dataset.record, after)
            assert diff(after, again.metadata) == (), "the second application writes nothing"
            assert again.data_type == dataset.record.data_type
            self.pairs.append((dataset, after))
            self.patches.append(ops)

    @property
    def changed(self) -> int:
        return sum(1 for ops in self.patches if ops)


def text_of(metadata: JsonObject, key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) else ""


def test_the_data_are_those_that_were_described(datasets: list[Dataset]) -> None:
    assert Counter(dataset.record.data_type for dataset in datasets) == {
        BULK: 2041,
        PROTEOMICS: 301,
        SINGLE_CELL: 122 + 225,
    }


def names(value: JsonValue) -> list[str]:
    if isinstance(value, str):
        return [part.strip() for part in value.split("|")]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def test_one_spelling_of_organism(
    migrate: Callable[[str], Migrated], datasets: list[Dataset]
) -> None:
    migrated = migrate("one_spelling_of_organism.yaml")
    spellings: dict[str, set[str]] = {}
    people: Counter[str] = Counter()
    for dataset, after in migrated.pairs:
        assert "species" not in after
        for name in names(after.get("organism")):
            spellings.setdefault(name.casefold(), set()).add(name)
        if "Homo sapiens" in names(after.get("organism")):
            people[dataset.record.data_type] += 1
    assert {key: found for key, found in spellings.items() if len(found) > 1} == {}
    human = {"human", "homo sapiens"}
    expected = Counter(
        dataset.record.data_type
        for dataset in datasets
        for key in ("species", "organism")
        if human & {name.casefold() for name in names(dataset.metadata.get(key))}
    )
    assert people == expected == {BULK: 2041, PROTEOMICS: 192, SINGLE_CELL: 102 + 92}


def test_encoding_is_repaired_in_347_abstracts(migrate: Callable[[str], Migrated]) -> None:
    migrated = migrate("repair_abstracts.yaml")
    assert migrated.changed == 347
    damaged = re.compile("[ÃÂâ]")
    for dataset, after in migrated.pairs:
        was_damaged = bool(damaged.search(text_of(dataset.metadata, "abstract")))
        assert was_damaged == (after.get("abstract") != dataset.metadata.get("abstract"))
    # Two texts keep an â that was lost before (â?? and IêBâ): nothing tells what it was.
    left = [after for _, after in migrated.pairs if damaged.search(text_of(after, "abstract"))]
    assert len(left) == 2
    repaired = Counter(
        character for _, after in migrated.pairs for character in text_of(after, "abstract")
    )
    assert (repaired["\u2019"], repaired["ß"], repaired["µ"]) == (251, 133, 51)


def test_tissue_is_derived_by_a_vocabulary(migrate: Callable[[str], Migrated]) -> None:
    migrated = migrate("tissue_from_abstract.yaml")
    lines = (CHANGES / "tissues.yaml").read_text().splitlines()
    vocabulary = {
        re.compile(rf"(?<!\w){words}(?!\w)".replace(" ", r"\W+")): tissue
        for words, tissue in (line.split(": ") for line in lines)
    }
    derived = 0
    for dataset, after in migrated.pairs:
        abstract = text_of(dataset.metadata, "abstract").casefold()
        wanted = {tissue for words, tissue in vocabulary.items() if words.search(abstract)}
        found = after.get("tissue", [])
        assert isinstance(found, list)
        assert set(names(found)) == wanted, dataset.record.dataset_id
        assert len(found) == len(set(names(found)))
        derived += bool(wanted)
    assert migrated.changed == derived
    assert derived == 801


def test_studies_with_few_samples_are_flagged(migrate: Callable[[str], Migrated]) -> None:
    migrated = migrate("flag_few_samples.yaml")
    with (FOLDER / "recount2_studies.tsv").open(encoding="utf-8", newline="") as handle:
        few = {
            row["project"]
            for row in csv.DictReader(handle, dialect="excel-tab")
            if int(row["number_samples"]) < 3
        }
    flagged = {
        text_of(after, "accession")
        for _, after in migrated.pairs
        if after.get("quality") == {"too_few_samples": True}
        and after.get("tags") == ["too few samples"]
    }
    assert flagged == few
    assert migrated.changed == len(few) == 303


def test_curated_columns_are_joined(migrate: Callable[[str], Migrated]) -> None:
    migrated = migrate("join_curated.yaml")
    by_accession: dict[str, list[JsonValue]] = {}
    for _, after in migrated.pairs:
        if "curated" in after:
            by_accession.setdefault(text_of(after, "accession"), []).append(after["curated"])
    cancer = {"disease": "cervical cancer", "reviewed": True, "priority": "high"}
    assert by_accession == {
        "DRP000366": [cancer],
        "DRP000425": [{"disease": "bladder carcinoma", "reviewed": True}],
        "DRP000499": [{"reviewed": False, "priority": "low"}],
        # Six files of one accession.
        "PXD015833": [{"disease": "healthy", "reviewed": True, "priority": "low"}] * 6,
    }
    assert migrated.changed == 9


def test_the_whole_migration(migrate: Callable[[str], Migrated]) -> None:
    migrated = migrate("whole_migration.yaml")
    kinds = Counter(op.op + op.path for ops in migrated.patches for op in ops)
    assert kinds["replace/abstract"] == 347
    assert kinds["remove/species"] == 2041 + 225
    assert kinds["add/quality"] == 303
    assert kinds["add/curated"] == 9
    assert kinds["add/tissue"] == 801
