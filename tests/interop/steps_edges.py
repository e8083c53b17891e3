"""What careless, unlucky and simultaneous users do."""

import threading
from pathlib import Path
from typing import Any

from tests.interop.player import Player, digest, facts, kind


def odd_requests(player: Player) -> None:
    """Values out of bounds, members that nobody knows, datasets that are gone."""
    catalog = player.catalog
    player.note_error("get with a blank id", lambda: catalog.get_dataset(" "))
    player.note_error("get with a foreign id", lambda: catalog.get_dataset("ü"))
    made = player.note_warnings(
        "warnings on an unknown member",
        lambda: catalog.create_dataset("extra", "T", "inputs/notes.txt", {}, color="blue"),
    )
    player.note("created with an unknown member", facts(made))
    big = {"text": "x" * 2**21, "list": list(range(10_000)), "deep": _nested(40)}
    player.note("large metadata", catalog.update_dataset("extra", metadata=big).metadata() == big)
    player.note_error(
        "metadata beyond the limit",
        lambda: catalog.update_dataset("extra", metadata={"text": "x" * 2**25}),
    )
    player.note_error("type that is a number", lambda: catalog.update_dataset("extra", data_type=7))
    player.note_error("type that is empty", lambda: catalog.update_dataset("extra", data_type=""))
    player.note("study by update", facts(catalog.update_dataset("extra", study_id="S1")))
    player.note("delete with a reason", catalog.delete_dataset("extra", reason="test & more"))
    player.note_error("study of deleted", lambda: catalog.set_parent_study("extra", "S1"))
    player.note_error("ingestion of deleted", lambda: catalog.trigger_ingestion("extra"))
    player.note_error("file for deleted", lambda: catalog.attach_file("extra", "inputs/notes.txt"))
    player.note_error(
        "copy of deleted",
        lambda: player.management.copy_dataset(player.atlas, "extra", player.other, "extra"),
    )


def odd_files(player: Player) -> None:
    """Empty files, stored objects as files, versions of an earlier life."""
    catalog = player.catalog
    Path("inputs/empty.txt").touch()
    Path("inputs/with space.csv").write_text("a,b\n")
    catalog.create_dataset("lives", "T", "inputs/empty.txt", {"life": 1})
    player.note("empty data", digest(catalog.get_dataset("lives").download("empty")))
    first = catalog.list_versions("lives")[0].version_id
    catalog.update_dataset("lives", data="inputs/with space.csv")
    catalog.delete_dataset("lives")
    catalog.create_dataset("lives", "T2", "inputs/notes.txt", {"life": 2})
    back = catalog.rollback("lives", first)
    player.note("rollback to an earlier life", [facts(back), back.metadata()])
    present, every = (
        catalog.list_versions("lives", include_deleted=each) for each in (False, True)
    )
    player.note(
        "versions of two lives", [[each.metadata() for each in part] for part in (present, every)]
    )
    player.note("version of the earlier life", catalog.get_version("lives", first).metadata())
    location = catalog.get_dataset("big").data_location
    made = catalog.attach_file("lives", location, file_name="big.bed", file_format="bed", tag="")
    player.note("stored object as file", [repr(made), made.file_location == location])
    player.note_error("stored object without name", lambda: catalog.attach_file("lives", location))
    made = catalog.attach_file("lives", "inputs/with space.csv", tag="a tag: ü & 'more'")
    player.note("file with space", [repr(made), digest(made.download("space.csv"))])
    again = catalog.attach_file("lives", "inputs/big.bed", file_name="big.bed")
    player.note("large file", [repr(again), digest(again.download("big again.bed"))])
    made = player.management.copy_dataset(player.atlas, "lives", player.other, "lives")
    elsewhere = player.management.Catalog(player.other)
    player.note(
        "files of the copy",
        [[repr(file), digest(file.download("copied"))] for file in elsewhere.list_files("lives")],
    )
    player.note_error("version of another dataset", lambda: catalog.get_version("big", first))


def at_once(player: Player) -> None:
    """Many threads, one dataset: one creation wins, no update is lost, one deletion happens."""
    catalog = player.catalog
    made = _together(
        8, lambda n: catalog.create_dataset("race", "T", "inputs/notes.txt", {"race": True})
    )
    player.note("one creation wins", sorted(made))
    player.note(
        "updates",
        sorted(_together(8, lambda n: catalog.update_dataset("race", metadata={"race": True}))),
    )
    player.note("versions of all", len(catalog.list_versions("race")))
    files = _together(
        6, lambda n: catalog.attach_file("race", "inputs/notes.txt", file_name=f"{n}.txt")
    )
    player.note("files at once", [sorted(files), len(catalog.list_files("race"))])
    player.note("one deletion wins", sorted(_together(5, lambda n: catalog.delete_dataset("race"))))


def _together(count: int, work: Any) -> list[str]:
    outcomes: list[str] = []
    start = threading.Barrier(count)

    def one(number: int) -> None:
        start.wait()
        try:
            work(number)
        except Exception as error:  # noqa: BLE001
            outcomes.append(kind(error))
        else:
            outcomes.append("done")

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def _nested(depth: int) -> Any:
    return {"deeper": _nested(depth - 1)} if depth else None
