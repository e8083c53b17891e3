"""Supplementary files, studies, copies, bulk operations, and keys that may not."""

import os
from pathlib import Path
from typing import Any

from tests.interop.player import Player, digest


def files(player: Player) -> None:
    attach, dataset_id = player.catalog.attach_file, "GSE123"
    made = attach(dataset_id, path="inputs/report.html", file_format="html")
    player.note("attached", [repr(made), made.tag, made.derived_from])
    attach(dataset_id, "inputs/de_results.csv", tag="Diff Exp Results")
    attach(dataset_id, "inputs/vst_normalized_counts.csv", tag="Diff Exp Results")
    attach(dataset_id, "inputs/notes.txt", file_name="renamed.txt")
    player.note("files", [repr(each) for each in player.catalog.list_files(dataset_id)])
    Path("results").mkdir()
    for file in player.catalog.list_files(dataset_id):
        if file.tag == "Diff Exp Results":
            path = file.download("results" + os.sep)
            player.note(f"download {file.file_name}", [path, digest(path)])
    attach(dataset_id, "inputs/notes.txt", file_name="de_results.csv", file_format="txt")
    file = player.catalog.get_file(dataset_id, "de_results.csv")
    player.note("overwritten", [repr(file), file.tag, digest(file.download("over.txt"))])
    version = player.catalog.get_dataset(dataset_id).version_id
    made = attach(dataset_id, "inputs/notes.txt", file_name="l.txt", source_version_id=version)
    player.note("linked", [repr(made), made.derived_from is not None])
    strange = "my notes ü (1) + 50%.txt"
    attach(dataset_id, "inputs/notes.txt", file_name=strange)
    file = player.catalog.get_file(dataset_id, strange)
    player.note("strange name", [repr(file), digest(file.download("strange.txt"))])
    player.note("deleted file", player.catalog.delete_file(dataset_id, "renamed.txt"))
    player.note_error(
        "get file, deleted", lambda: player.catalog.get_file(dataset_id, "renamed.txt")
    )
    player.note_error(
        "delete file twice", lambda: player.catalog.delete_file(dataset_id, "renamed.txt")
    )
    player.note_error("attach, unknown format", lambda: attach(dataset_id, "inputs/measured.qqq"))
    player.note_error("attach to absent", lambda: attach("absent", "inputs/notes.txt"))
    player.note_error(
        "attach linked to nothing",
        lambda: attach(dataset_id, "inputs/notes.txt", source_version_id="none"),
    )


def linked_files(player: Player) -> None:
    dataset_id = "GSE123"
    stale = player.catalog.get_dataset(dataset_id).version_id

    def names() -> list[str]:
        return [file.file_name for file in player.catalog.list_files(dataset_id)]

    player.catalog.update_dataset(dataset_id, metadata={"link": "stays"})
    player.catalog.update_dataset(dataset_id, data_type="Bulk")
    player.note("linked file after new metadata", names())
    player.catalog.update_dataset(dataset_id, data="inputs/counts.gct")
    player.note("linked file after the same data", names())
    player.note_warnings(
        "warnings on new data",
        lambda: player.catalog.update_dataset(dataset_id, data="inputs/table.csv.gz"),
    )
    player.note("linked file after new data", names())
    player.note_error(
        "link to stale data",
        lambda: player.catalog.attach_file(dataset_id, "inputs/notes.txt", source_version_id=stale),
    )


def studies(player: Player) -> None:
    put = player.catalog.set_parent_study
    player.note("put into a study", put(dataset_id="GSE123", study_id="PMID123"))
    put("GSE8304", "PMID123")
    put("SCP890", "SCP300")
    put("big", "SCP300")
    player.note("studies", player.catalog.list_studies())
    player.note("study", player.catalog.list_datasets_in_study(study_id="PMID123"))
    player.note("repr with study", repr(player.catalog.get_dataset("GSE123")))
    put(dataset_id="big", study_id=None)
    put("GSE8304", "PMID125")
    player.note("studies after moves", player.catalog.list_studies())
    player.note("study after move", player.catalog.list_datasets_in_study("SCP300"))
    player.note_error("study, absent", lambda: player.catalog.list_datasets_in_study("none"))
    player.note_error("study with bad id", lambda: put("GSE123", "PMID 1"))
    player.note_error("study of absent", lambda: put("absent", "PMID1"))


def copies(player: Player) -> None:
    copy, here, there = player.management.copy_dataset, player.atlas, player.other
    version = player.catalog.get_dataset("GSE123").version_id
    player.catalog.attach_file(
        "GSE123", "inputs/notes.txt", file_name="linked.txt", source_version_id=version
    )
    made = copy(here, "GSE123", here, "GSE123_copy")
    player.note("copy within", [repr(made), made.metadata()])
    player.note_error("copy onto an existing one", lambda: copy(here, "big", here, "GSE123_copy"))
    player.note_error("copy to a bad id", lambda: copy(here, "big", here, "a b"))
    player.note_error("copy of absent", lambda: copy(here, "absent", here, "b"))
    made = copy(here, "GSE123", there, "GSE123", ingestion_params={"priority": "medium"})
    player.note("copy across", [repr(made), made.metadata()])
    copy(here, "big", there, "big_copy")
    copy(here, "SCP890", there, "cells")
    copy(here, "SCP890", there, "fresh", overwrite=True)
    made = copy(here, "GSE8304", there, "GSE123", overwrite=True)
    player.note("copy over", [repr(made), made.metadata()])
    elsewhere = player.management.Catalog(there)
    player.note(
        "files of the copies",
        [
            [repr(file) for file in player.catalog.list_files("GSE123_copy")],
            [repr(file) for file in elsewhere.list_files("GSE123")],
        ],
    )
    player.note("data of the copy", digest(elsewhere.get_dataset("big_copy").download("b.bed")))
    player.note("list elsewhere", [repr(each) for each in elsewhere.list_datasets()])


def bulk(player: Player) -> None:
    """The tutorial's snippet, word for word but for the package."""
    catalog, for_each_threaded = player.catalog, player.threading.for_each_threaded
    catalog.clear_token_cache()
    datasets = catalog.list_datasets(prefetch_metadata=True)
    dataset_id_to_metadata = {}

    for dataset in datasets:
        new_metadata = {**dataset.metadata(), "new_field": "foobar"}
        dataset_id_to_metadata[dataset.dataset_id] = new_metadata

    def fn(dataset: Any) -> None:
        dataset_id = dataset.dataset_id
        catalog.update_dataset(dataset_id, metadata=dataset_id_to_metadata[dataset_id])

    for_each_threaded(items=datasets, fn=fn, max_workers=10, verbose=True)
    player.note("after bulk", [each.metadata() for each in catalog.list_datasets()])

    def fail(number: int) -> None:
        if number == 3:
            raise ValueError(number)

    player.note_error("too many failures", lambda: for_each_threaded([3, 3, 3], fail))
    for_each_threaded([1, 2, 3, 4], fail, max_workers=2, max_error_perc=0.5)
    for_each_threaded([], fail)


def pages(player: Player) -> None:
    """More datasets than fit on a page of the listing."""
    location = player.catalog.get_dataset("tiny-1").data_location
    elsewhere = player.management.Catalog(player.other)
    copied = player.management.copy_dataset(player.atlas, "tiny-1", player.other, "page-000")

    def create(number: int) -> None:
        elsewhere.create_dataset(
            f"page-{number:03}", "T", copied.data_location, {"n": number}, data_format="txt"
        )

    player.threading.for_each_threaded(range(1, 100), create, max_workers=4)
    found = elsewhere.list_datasets()
    player.note("all pages", [each.dataset_id for each in found])
    player.note("some pages", [each.dataset_id for each in elsewhere.list_datasets(limit=102)][-1])
    prefetched = elsewhere.list_datasets(prefetch_metadata=True)
    player.note("metadata of all pages", [each.metadata() for each in prefetched])
    player.note_error(
        "create from another atlas' object",
        lambda: elsewhere.create_dataset("stolen", "T", location, {}, data_format="txt"),
    )


def access(player: Player) -> None:
    """With a key that may only read, and with one that nobody knows."""
    player.log_in(player.config["read_key"])
    player.catalog.clear_token_cache()
    reader = player.management.Catalog(player.atlas)
    player.note("reading with the read key", reader.get_dataset("SCP890").metadata())
    path = "inputs/secret.txt"
    for step, call in {
        "create with the read key": lambda: reader.create_dataset("n", "t", path, {}),
        "update of data with the read key": lambda: reader.update_dataset("big", data=path),
        "attach with the read key": lambda: reader.attach_file("big", path),
        "update of metadata with the read key": lambda: reader.update_dataset(
            "big", metadata={"hacked": True}
        ),
        "study with the read key": lambda: reader.set_parent_study("big", "S"),
        "ingestion with the read key": lambda: reader.trigger_ingestion("big"),
        "delete with the read key": lambda: reader.delete_dataset("big"),
    }.items():
        player.note_error(step, call)
    player.log_in("nobody-knows-this-key")
    stranger = player.management.Catalog(player.atlas)
    stranger.clear_token_cache()
    player.note_error("get with an unknown key", lambda: stranger.get_dataset("big"))
    player.note_error("list with an unknown key", stranger.list_datasets)
    player.note_error("in with an unknown key", lambda: "big" in stranger)
    player.note_error(
        "create with an unknown key", lambda: stranger.create_dataset("n", "t", path, {})
    )
    player.log_in(player.config["api_key"])
    nowhere = player.management.Catalog("no-such-atlas")
    player.note_error("list of an unknown atlas", nowhere.list_datasets)
    player.note("in an unknown atlas", "big" in nowhere)
