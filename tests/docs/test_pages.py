"""Every page of the documentation is followed, block by block, on a real atlas."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from polly_core.transport.default import DefaultSession
from tests.docs.snippets import Reader, atlases_of
from tests.support.atlas import REPOSITORY, RunningAtlas
from tests.support.deployed import forget
from tests.support.prefect import PrefectServer

DOCS = REPOSITORY / "docs"
DATA = REPOSITORY.parent / "shared" / "data"
PAGES = sorted(path.name for path in DOCS.glob("*.md"))
WITH_DATA = {"tutorial.md"}
"""Pages about the real files, which are no part of the repository."""
FOLDER = "/home/ada/curation"

pytestmark = pytest.mark.timeout(400)


@contextmanager
def reader_of(
    page: Path,
    atlas: RunningAtlas,
    prefect_server: PrefectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Reader]:
    """Somebody in a folder with the example, whose environment names a fresh atlas server."""
    folder, home = tmp_path / "curation", tmp_path / "polly-bulk"
    shutil.copytree(DOCS / "example", folder / "example")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("POLLY_API_KEY", atlas.api_key)
    monkeypatch.setenv("POLLY_API_URL", atlas.api_url)
    monkeypatch.setenv("POLLY_HOME", str(home))
    monkeypatch.setenv("TZ", "UTC")
    names = {name: atlas.new_atlas() for name in atlases_of(page)}
    prefect_url = prefect_server.api_url.removesuffix("/api")
    places = {
        # Paths in messages are resolved.
        f"{FOLDER}/data": str(DATA.resolve()),
        FOLDER: str(folder),
        "/home/ada/.local/share/polly-bulk": str(home),
        "http://127.0.0.1:8000": atlas.api_url,
        "http://127.0.0.1:4200": prefect_url,
    }
    if page.name in WITH_DATA:
        (folder / "data").symlink_to(DATA)
    programs = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    own = {name: os.environ[name] for name in ("POLLY_API_KEY", "POLLY_API_URL", "POLLY_HOME")}
    ledger = {
        "POLLY_LEDGER_URL": f"sqlite:///{home / 'ledger.db'}",
        "PREFECT_WORKER_QUERY_SECONDS": "1",
    }
    shell = prefect_server.environment({**programs, **own, **ledger})
    before = DefaultSession.peek()
    with prefect_server.in_use() as client:
        try:
            yield Reader(folder, {**names, **places}, shell)
        finally:
            DefaultSession.set(before)
            if "polly-bulk deploy" in page.read_text(encoding="utf-8"):
                forget(client)


def test_there_are_pages() -> None:
    assert PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_true(
    name: str,
    atlas: RunningAtlas,
    prefect_server: PrefectServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if name in WITH_DATA and not DATA.is_dir():
        pytest.skip(f"the real data files of {name} are not at {DATA}")
    page = DOCS / name
    with reader_of(page, atlas, prefect_server, tmp_path, monkeypatch) as reader:
        assert reader.follow(page) > 0
