"""The wire, pinned: for each route its answers as files.

A change of the wire is made on purpose: delete the file, run the test, read the difference.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.house import R9, TestHouse, envelope
from tests.server.inprocess import Answer, Caller

GOLDEN = Path(__file__).parent / "golden"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
HEX = re.compile(r"\b[0-9a-f]{32}\b")
GSE1 = f"{R9}/datasets/GSE1"
FILES = f"{GSE1}/supplementary_files"


def settled(house: TestHouse) -> str:
    """A dataset with a history, in a study, with a linked file; answers its version id."""
    house.create("GSE0", study_id="PMID1", meta={"ingestion_params": {"priority": "low"}})
    house.create("GSE1", study_id="PMID1", metadata={"organism": "Homo sapiens"})
    house.now += 1000
    meta = {"ingestion_params": {"ingestion_run_id": "run-1", "file_metadata": True}}
    made = house.update("GSE1", metadata={"organism": "Mus musculus"}, meta=meta)
    version = str(made.document["data"]["attributes"]["version_id"])
    house.attach("GSE1", "a.csv", tag="QC", source_version_id=version)
    house.attach("GSE1", "b.pdf", file_format="pdf")
    return version


def token_body(destination: object) -> object:
    attributes = {"omixatlas_id": "9", "copy_dest_omixatlas_id": destination}
    return {"data": {"type": "session-tokens", "attributes": attributes}}


def broken(house: TestHouse) -> Answer:
    def fail() -> None:
        raise RuntimeError

    house.blobs.before_put = fail
    return house.update("GSE1", metadata={})


def throttled(house: TestHouse) -> Answer:
    house.suffer(reject_above=0.001)
    house.reader.get(GSE1)
    return house.reader.get(GSE1)


CASES: dict[str, Callable[[TestHouse, str], Answer]] = {
    "01-session-tokens": lambda h, _: h.writer.post("/session-tokens", token_body(None)),
    "01-session-tokens-copy": lambda h, _: h.copier.post("/session-tokens", token_body(17)),
    "01-session-tokens-403": lambda h, _: h.reader.post("/session-tokens", token_body("17")),
    "02-list": lambda h, _: h.reader.get(f"{R9}/datasets?page[size]=1"),
    "02-list-last": lambda h, _: h.reader.get(f"{R9}/datasets"),
    "02-list-400": lambda h, _: h.reader.get(f"{R9}/datasets?page[size]=-1"),
    "02-list-404": lambda h, _: h.reader.get("/repositories/8/datasets"),
    "03-create": lambda h, _: h.create(
        "GSE2", study_id="S", colour=1, meta={"ingestion_params": {"ingestion_run_id": "run-2"}}
    ),
    "03-create-400": lambda h, _: h.create("GSE2", metadata=None),
    "03-create-403": lambda h, _: h.reader.post(f"{R9}/datasets", {}),
    "03-create-409": lambda h, _: h.create("GSE1"),
    "03-create-422": lambda h, _: h.create("GSE2", data_s3_uri="s3://catalog/17/x"),
    "04-get": lambda h, _: h.reader.get(GSE1),
    "04-get-404": lambda h, _: h.reader.get(f"{R9}/datasets/GSE9"),
    "05-update": lambda h, _: h.update("GSE1", data_type="Single cell"),
    "05-update-data": lambda h, _: h.update("GSE1", data_s3_uri=h.data("GSE1")),
    "05-update-study": lambda h, _: h.update("GSE1", study_id=None),
    "05-update-nothing": lambda h, _: h.update("GSE1"),
    "05-update-409": lambda h, _: h.writer.patch(GSE1, envelope("GSE2", {})),
    "05-update-expected-409": lambda h, _: h.update("GSE1", meta={"expected_version_id": "v"}),
    "06-delete": lambda h, _: h.writer.delete(f"{GSE1}?params=%7B%7D"),
    "06-delete-400": lambda h, _: h.writer.delete(f"{GSE1}?params=%7B"),
    "06-delete-404": lambda h, _: h.writer.delete(f"{R9}/datasets/GSE9"),
    "07-versions": lambda h, _: h.reader.get(f"{GSE1}/versions?include_deleted=False"),
    "07-versions-400": lambda h, _: h.reader.get(f"{GSE1}/versions?include_deleted=maybe"),
    "07-versions-404": lambda h, _: h.reader.get(f"{R9}/datasets/GSE9/versions"),
    "08-version": lambda h, v: h.reader.get(f"{GSE1}/versions/{v}"),
    "08-version-404": lambda h, v: h.reader.get(f"{R9}/datasets/GSE0/versions/{v}"),
    "09-attach": lambda h, v: h.attach("GSE1", "c.csv", tag="QC", source_version_id=v),
    "09-attach-replaced": lambda h, _: h.attach("GSE1", "a.csv", colour=1),
    "09-attach-400": lambda h, _: h.attach("GSE1", "../c.csv"),
    "09-attach-422": lambda h, _: h.attach("GSE1", "c.csv", source_version_id="v"),
    "10-files": lambda h, _: h.reader.get(FILES),
    "10-files-404": lambda h, _: h.reader.get(f"{R9}/datasets/GSE9/supplementary_files"),
    "11-file": lambda h, _: h.reader.get(f"{FILES}/a.csv"),
    "11-file-404": lambda h, _: h.reader.get(f"{FILES}/z.csv"),
    "12-detach": lambda h, _: h.writer.delete(f"{FILES}/a.csv"),
    "12-detach-404": lambda h, _: h.writer.delete(f"{FILES}/z.csv"),
    "13-studies": lambda h, _: h.reader.get(f"{R9}/studies"),
    "14-study": lambda h, _: h.reader.get(f"{R9}/studies/PMID1"),
    "14-study-404": lambda h, _: h.reader.get(f"{R9}/studies/PMID9"),
    "15-ingestions": lambda h, _: h.reader.get(f"{R9}/ingestions?run_id=run-1"),
    "15-ingestions-page": lambda h, _: h.reader.get(
        f"{R9}/ingestions?dataset_id=GSE1&page[size]=1"
    ),
    "15-ingestions-400": lambda h, _: h.reader.get(f"{R9}/ingestions?page[after]=x"),
    "401": lambda h, _: Caller(h.app, "wrong").get(GSE1),
    "404": lambda h, _: h.reader.get(f"{R9}/datasets/"),
    "405": lambda h, _: h.reader.call("PUT", GSE1),
    "413": lambda h, _: h.writer.call("PATCH", GSE1, b"x" * (16 * 1024 * 1024 + 1)),
    "429": lambda h, _: throttled(h),
    "500": lambda h, _: broken(h),
}


def neutral(text: str) -> str:
    """Ids that are made by chance, by the order in which they appear."""
    names: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return names.setdefault(found[0], f"<id-{len(names) + 1}>")

    return HEX.sub("<correlation-id>", UUID.sub(name, text))


def described(answer: Answer) -> dict[str, Any]:
    shown = {"content-type", "retry-after", "allow"}
    return {
        "status": answer.status,
        "headers": {name: v for name, v in sorted(answer.headers.items()) if name in shown},
        "body": json.loads(neutral(answer.body.decode())) if answer.body else None,
    }


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_as_it_was(house: TestHouse, name: str) -> None:
    answer = described(CASES[name](house, settled(house)))
    file = GOLDEN / f"{name}.json"
    text = json.dumps(answer, indent=2, ensure_ascii=False) + "\n"
    if not file.exists():
        file.write_text(text)
        pytest.fail(f"{file.name} was missing and has been written; read it, then run again")
    assert text == file.read_text()


def test_no_golden_file_is_without_a_case() -> None:
    assert {file.stem for file in GOLDEN.glob("*.json")} == set(CASES)


def test_no_success_looks_like_a_failure() -> None:
    """The official client takes a member ``error`` or ``errors`` for a failure."""
    for file in GOLDEN.glob("*.json"):
        golden = json.loads(file.read_text())
        body = golden["body"] or {}
        members = set(body) | (set(body["data"]) if isinstance(body.get("data"), dict) else set())
        failed = golden["status"] >= 400 and golden["status"] != 401
        assert bool(members & {"error", "errors"}) == failed, file.name
        if failed:
            assert body["errors"][0]["title"]
            assert body["errors"][0]["detail"]
