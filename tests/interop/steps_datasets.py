"""Datasets, their data, versions and lives, in the order of the tutorial."""

import os
from pathlib import Path

from tests.interop.player import Player, cells, digest, facts, matrix, same_id, shape


def empty_atlas(player: Player) -> None:
    player.note("repr of catalog", repr(player.catalog))
    player.note("id of catalog", player.catalog.omixatlas_id)
    player.note("list of nothing", player.catalog.list_datasets())
    player.note("studies of nothing", player.catalog.list_studies())
    player.note("in, absent", "SCP890" in player.catalog)
    player.note_error("get, absent", lambda: player.catalog.get_dataset("SCP890"))
    player.note_error("versions, absent", lambda: player.catalog.list_versions("SCP890"))
    player.note_error("files, absent", lambda: player.catalog.list_files("SCP890"))
    player.note_error("delete, absent", lambda: player.catalog.delete_dataset("SCP890"))


def create(player: Player) -> None:
    create = player.catalog.create_dataset
    made = create(
        dataset_id="GSE123",
        data_type="Bulk RNAseq",
        data="inputs/counts.gct",
        metadata={"description": "New dataset description", "tissue": ["lung"]},
    )
    player.note("created from gct", facts(made))
    player.note("repr of dataset", repr(made))
    made = create("SCP890", "Single Cell RNASeq", cells(), {"description": "cells", "n": 1.0})
    player.note("created from AnnData", facts(made))
    made = create("GSE8304", "Bulk RNAseq", matrix(), {"nested": {"a": [1, None, {"b": "ü"}]}})
    player.note("created from GCToo", facts(made))
    made = create(
        dataset_id="PXD056",
        data_type="Proteomics",
        data="inputs/table.csv.gz",
        metadata={},
        ingestion_params={
            "priority": "high",
            "file_metadata": True,
            "ingestion_run_id": "run-1",
        },
    )
    player.note("created with ingestion parameters", facts(made))
    create("GSE583_GPL8887", "Bulk RNAseq", "inputs/cells.h5ad", {"a": 10**17, "b": 1e-9})
    create("tiny-1", "Bulk RNAseq", "inputs/notes.txt", {"big": "x" * 100_000})
    create("big", "Raw", "inputs/big.bed", {})
    create("odd", "Raw", "inputs/measured.qqq", {}, data_format="qqq")
    twice = create("by_uri", "Raw", made.data_location, {}, data_format="csv+gzip")
    player.note("created from a stored object", twice.data_location == made.data_location)


def refused_creates(player: Player) -> None:
    create = player.catalog.create_dataset
    path = "inputs/notes.txt"
    player.note_error("create twice", lambda: create("GSE123", "Bulk RNAseq", path, {}))
    player.note_error("create with bad id", lambda: create("GSE 123", "Bulk RNAseq", path, {}))
    player.note_error("create with empty id", lambda: create("", "Bulk RNAseq", path, {}))
    player.note_error("create from a number", lambda: create("x", "Bulk RNAseq", 17, {}))
    player.note_error(
        "create with unknown format", lambda: create("x", "y", "inputs/measured.qqq", {})
    )
    player.note_error(
        "create from a stored object without format",
        lambda: create("x", "y", player.catalog.get_dataset("big").data_location, {}),
    )
    player.note_error(
        "create with a wrong priority",
        lambda: create("x", "y", path, {}, ingestion_params={"priority": "soon"}),
    )
    player.note_error(
        "create with metadata that are no JSON",
        lambda: create("nan", "y", path, {"x": float("nan")}),
    )
    player.note("in, after refusals", "x" in player.catalog)


def list_and_get(player: Player) -> None:
    player.note("list", [repr(each) for each in player.catalog.list_datasets()])
    player.note("list 4", [each.dataset_id for each in player.catalog.list_datasets(limit=4)])
    player.note("list 0", player.catalog.list_datasets(limit=0))
    player.note("list 1000", len(player.catalog.list_datasets(limit=1000)))
    prefetched = player.catalog.list_datasets(prefetch_metadata=True)
    player.note("list with metadata", {each.dataset_id: each.metadata() for each in prefetched})
    dataset = player.catalog.get_dataset(dataset_id="SCP890")
    player.note("get", [repr(dataset), facts(dataset), dataset.metadata()])
    player.note("in, present", "SCP890" in player.catalog)
    player.note("in, other letter case", "scp890" in player.catalog)


def data_files(player: Player) -> None:
    dataset = player.catalog.get_dataset("GSE583_GPL8887")
    player.note("download to a file", [dataset.download("./mydataset.h5ad"), "mydataset.h5ad"])
    player.note("downloaded file", digest("mydataset.h5ad"))
    Path("folder").mkdir()
    for name in ("GSE123", "PXD056", "tiny-1", "big", "odd", "by_uri"):
        path = player.catalog.get_dataset(name).download("folder" + os.sep)
        player.note(f"download {name} into a folder", [path, digest(path)])
    cells = player.catalog.get_dataset("SCP890").load()
    player.note("load h5ad", [type(cells).__name__, cells.shape, float(cells.X.sum())])
    for name in ("GSE123", "GSE8304"):
        matrix = player.catalog.get_dataset(name).load()
        player.note(
            f"load gct {name}",
            [
                type(matrix).__name__,
                matrix.data_df.index.tolist(),
                matrix.data_df.columns.tolist(),
                matrix.data_df.to_numpy().tolist(),
                matrix.row_metadata_df["symbol"].tolist(),
            ],
        )
    player.note_error("load of text", lambda: player.catalog.get_dataset("tiny-1").load())


def update(player: Player) -> None:
    update = player.catalog.update_dataset
    answer = update(dataset_id="GSE123", metadata={"new": "metadata"})
    player.note("update of metadata", [facts(answer), answer.metadata()])
    cells = player.catalog.get_dataset("SCP890").load()
    answer = update("SCP890", data=cells[cells.obs["n_genes"] > 1].copy())
    player.note("update of data", [facts(answer), answer.load().shape, answer.metadata()])
    answer = update("SCP890", data_type="Single Cell")
    player.note("update of type", facts(answer))
    answer = update(
        "GSE8304",
        "Array",
        {"all": "at once"},
        "inputs/counts.gct",
        ingestion_params={"priority": "low"},
    )
    player.note("update of everything", [facts(answer), answer.metadata()])
    update("GSE8304", data="inputs/counts.gct")  # the same bytes again
    update("PXD056", data="inputs/cells.h5ad")  # another format
    player.note_error("update of nothing", lambda: update("GSE123"))
    player.note_error("update, absent", lambda: update("absent", metadata={}))
    player.note_error(
        "update with a stale expectation",
        lambda: update("GSE123", metadata={}, other_params={"expected_version_id": "not-this-one"}),
    )
    current = player.catalog.get_dataset("GSE123").version_id
    answer = update("GSE123", metadata={"e": 1}, other_params={"expected_version_id": current})
    player.note("update with an expectation", answer.metadata())
    answer = player.catalog.trigger_ingestion(
        "GSE123", ingestion_params={"ingestion_run_id": "run-2", "data_required": False}
    )
    player.note("trigger of ingestion", [answer["data"]["id"], answer["meta"]["ingestion"]])


def history(player: Player) -> None:
    versions = player.catalog.list_versions(dataset_id="GSE123")
    player.note("versions", [[repr(same_id(each)), each.metadata()] for each in versions])
    oldest = versions[-1]
    same = player.catalog.get_version(dataset_id="GSE123", version_id=oldest.version_id)
    player.note("version", [same.data_type, same.data_format, same.metadata()])
    player.note("version of data", [digest(same.download("old.gct")), shape(same.load())])
    player.note_error("version, absent", lambda: player.catalog.get_version("GSE123", "none"))
    back = player.catalog.rollback(dataset_id="GSE123", version_id=oldest.version_id)
    player.note("rollback", [facts(back), back.metadata(), back.version_id == oldest.version_id])
    player.note("versions after rollback", len(player.catalog.list_versions("GSE123")))
    player.note_error("rollback, absent", lambda: player.catalog.rollback("GSE123", "none"))


def deletion(player: Player) -> None:
    player.catalog.attach_file("GSE583_GPL8887", "inputs/de_results.csv")
    player.catalog.set_parent_study("GSE583_GPL8887", "PMID9")
    before = player.catalog.list_versions("GSE583_GPL8887")[0]
    player.note("delete", player.catalog.delete_dataset(dataset_id="GSE583_GPL8887"))
    player.note("in, deleted", "GSE583_GPL8887" in player.catalog)
    versions = player.catalog.list_versions("GSE583_GPL8887", include_deleted=True)
    player.note("versions of deleted", [each.metadata() for each in versions])
    player.note_error("get, deleted", lambda: player.catalog.get_dataset("GSE583_GPL8887"))
    player.note_error(
        "update, deleted", lambda: player.catalog.update_dataset("GSE583_GPL8887", metadata={})
    )
    player.note_error("delete twice", lambda: player.catalog.delete_dataset("GSE583_GPL8887"))
    version = player.catalog.get_version("GSE583_GPL8887", before.version_id)
    player.note("version of deleted", [version.metadata(), digest(version.download("del.h5ad"))])
    back = player.catalog.rollback("GSE583_GPL8887", before.version_id)
    player.note("revived", [facts(back), back.metadata()])
    player.note("files of revived", player.catalog.list_files("GSE583_GPL8887"))
    player.note("versions of revived", len(player.catalog.list_versions("GSE583_GPL8887")))
    every = player.catalog.list_versions("GSE583_GPL8887", include_deleted=True)
    player.note("all versions of revived", len(every))
    player.catalog.delete_dataset("tiny-1")
    made = player.catalog.create_dataset("tiny-1", "Again", "inputs/notes.txt", {"life": 2})
    player.note("created again", [facts(made), made.metadata()])
    player.catalog.delete_dataset("odd")
