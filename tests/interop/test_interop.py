"""The two clients get the same answers, leave the same catalogs and read each other's."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.interop.conftest import OURS, REPOSITORY, Outcome, Stage

# Each client takes most of a minute for the scenario on a busy machine.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(params=["vendor", "ours"])
def either(request: pytest.FixtureRequest) -> Outcome:
    """What is true for both, not only alike."""
    outcome: Outcome = request.getfixturevalue(request.param)
    return outcome


def test_the_vendors_client_is_the_published_one(vendor_python: Path) -> None:
    done = subprocess.run(
        [str(vendor_python), "-m", "tests.interop.unmodified"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["version"] == "4.8.0"
    assert found["files"] > 20
    assert found["changed"] == []


def test_same_answers(vendor: Outcome, ours: Outcome) -> None:
    assert list(_differences(vendor.transcript, ours.transcript)) == []
    assert len(vendor.transcript) > 100


def test_same_catalogs(vendor: Outcome, ours: Outcome) -> None:
    assert list(_differences(vendor.catalogs, ours.catalogs)) == []


def test_each_reads_what_the_other_wrote(
    stage: Stage, vendor_python: Path, vendor: Outcome, ours: Outcome
) -> None:
    atlases = [vendor.atlases[0], ours.atlases[0]]
    theirs = stage.run(vendor_python, "survey", "polly", atlases=atlases)
    mine = stage.run(OURS, "survey", "polly_core", atlases=atlases)
    assert list(_differences(theirs, mine)) == []
    assert len(theirs[ours.atlases[0]]["datasets"]) == 10


def test_datasets(either: Outcome) -> None:
    here, there = either.catalogs["A"], either.catalogs["B"]
    assert here["listed"] == [
        "GSE123",
        "GSE123_copy",
        "GSE583_GPL8887",
        "GSE8304",
        "PXD056",
        "SCP890",
        "big",
        "by_uri",
        "lives",
        "tiny-1",
    ]
    assert there["listed"][:4] == ["GSE123", "big_copy", "cells", "fresh"]
    assert len(there["listed"]) == 4 + 101
    # Of eight creations at once one won; of five deletions too.
    assert either.transcript["one creation wins"] == ["conflict"] * 7 + ["done"]
    assert either.transcript["one deletion wins"] == ["done"] + ["resource not found"] * 4
    assert here["studies"] == {
        "PMID123": ["GSE123", "GSE123_copy"],
        "PMID125": ["GSE8304"],
        "SCP300": ["SCP890"],
    }


def test_history(either: Outcome) -> None:
    versions = either.catalogs["A"]["versions"]
    numbers = {name: len(each) for name, each in versions.items()}
    assert numbers == {
        "GSE123": 9,
        "GSE123_copy": 2,
        "GSE583_GPL8887": 3,
        "GSE8304": 4,
        "PXD056": 3,
        "SCP890": 4,
        "big": 2,
        "by_uri": 2,
        "extra": 3,
        "lives": 4,
        "odd": 1,
        "race": 9,
        "tiny-1": 3,
    }
    # Deleted and rolled back: the present life has the revival and the bulk edit.
    assert either.catalogs["A"]["present life"]["GSE583_GPL8887"] == 2
    first, second, _, fourth = versions["GSE123"][:4]
    assert (fourth["metadata"], fourth["data"]) == (first["metadata"], first["data"])
    assert second["metadata"] == {"new": "metadata"}
    # The same bytes are not stored again; other bytes and another format are.
    assert [each["data"] for each in versions["GSE8304"][:3]] == [
        "A/v2/GSE8304/GSE8304.gct @1",
        "A/v2/GSE8304/GSE8304.gct @2",
        "A/v2/GSE8304/GSE8304.gct @2",
    ]
    assert versions["PXD056"][1]["data"] == "A/v2/PXD056/PXD056.h5ad @1"


def test_bulk_edit_reached_every_dataset_once(either: Outcome) -> None:
    catalog = either.catalogs["A"]
    # "lives" was made later.
    for name in set(catalog["listed"]) - {"lives"}:
        *before, last = catalog["versions"][name]
        assert last["metadata"]["new_field"] == "foobar"
        assert not any("new_field" in each["metadata"] for each in before)
        assert catalog["datasets"][name]["version"] == last["number"]


def test_files(either: Outcome) -> None:
    here, there = (either.catalogs[name]["files"] for name in "AB")
    kept = ["de_results.csv", "my notes ü (1) + 50%.txt", "report.html"]
    assert [each["name"] for each in here["GSE123"]] == [
        "de_results.csv",
        "linked.txt",
        *kept[1:],
        "vst_normalized_counts.csv",
    ]
    linked = here["GSE123"][1]
    assert linked["linked to"] == "A/v2/GSE123/GSE123.csv.gz @1"
    # A copy within the atlas shares the stored files.
    assert [each["location"] for each in here["GSE123_copy"]] == [
        each["location"] for each in here["GSE123"]
    ]
    # A copy over it changed the data: the linked file is gone, the others stay.
    assert [each["name"] for each in there["GSE123"]] == [*kept, "vst_normalized_counts.csv"]
    assert all(each["location"].startswith("B/v2/GSE123/.sfiles/") for each in there["GSE123"])


def test_ingestions(either: Outcome) -> None:
    ingestions = either.catalogs["A"]["ingestions"]
    run_1 = {"priority": "high", "file_metadata": True, "ingestion_run_id": "run-1"}
    assert ingestions["PXD056"][0] == [1, run_1]
    run_2 = {"ingestion_run_id": "run-2", "data_required": False}
    assert [3, run_2] in ingestions["GSE123"]
    assert ingestions["GSE8304"][1] == [2, {"priority": "low"}]
    assert [None, None] in ingestions["odd"]


def test_nothing_was_uploaded_without_permission(stage: Stage, either: Outcome) -> None:
    atlas = either.atlases[0]
    objects = stage.reader().objects(atlas)
    assert objects.exists(f"{atlas}/v2/big/big.bed")
    for key in ("n/n.txt", "big/big.txt", "big/.sfiles/secret.txt"):
        assert not objects.exists(f"{atlas}/v2/{key}")
    answers = either.transcript
    assert answers["create with the read key"] == "access denied"
    assert answers["update of metadata with the read key"] == "access denied"
    assert answers["list with an unknown key"] == "unauthorized"


def test_the_vendors_errors(stage: Stage, vendor_python: Path, vendor: Outcome) -> None:
    atlas = vendor.atlases[0]
    found = stage.run(vendor_python, "refusals", atlas=atlas)
    request, unauthorized = "polly.errors.RequestException", "polly.errors.UnauthorizedException"
    assert found == {
        "absent": [request, "Resource not found"],
        "not an id": [request, "Bad Request"],
        "no trailing slash": [request, "Resource not found"],
        "bad priority": [request, "Bad Request"],
        "upload with the read key": ["polly.errors.AccessDeniedError", "Access denied"],
        "file with the read key": ["polly.errors.AccessDeniedError", "Access denied"],
        "write with the read key": [request, "Access denied"],
        "unknown key": [unauthorized, None],
        "upload with an unknown key": [unauthorized, None],
    }
    assert not stage.reader().objects(atlas).exists(f"{atlas}/v2/never/never.txt")


def _differences(theirs: Any, ours: Any, place: str = "") -> Iterator[str]:
    """Where two JSON values differ; 1 and 1.0 do, and so does the order of members."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and list(theirs) == list(ours):
        for key, value in theirs.items():
            yield from _differences(value, ours[key], f"{place}/{key}")
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (one, two) in enumerate(zip(theirs, ours, strict=True)):
            yield from _differences(one, two, f"{place}[{number}]")
    elif json.dumps(theirs) != json.dumps(ours):
        yield f"{place}: vendor {json.dumps(theirs)[:300]}, ours {json.dumps(ours)[:300]}"
