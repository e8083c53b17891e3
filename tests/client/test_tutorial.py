"""The tutorial's snippets, word for word with ``polly`` written ``polly_core``.

Names that a snippet leaves open (a file, a run id) are made in front of it.
"""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from polly_core.auth import Polly
from tests.support.atlas import RunningAtlas

TUTORIAL = Path(__file__).parents[3] / "shared" / "design" / "tutorial.txt"

START = """
from polly_core.auth import Polly
from polly_core.data_management import Catalog

Polly.auth("<access_key>")

catalog = Catalog(omixatlas_id="9")
"""

CREATE = """
new_dataset = catalog.create_dataset(
    dataset_id='GSE123',
    data_type='Bulk RNAseq',
    data='path/to/data/file.gct',
    metadata={'description': '...', 'tissue': ['lung']}
)
"""

CREATE_WITH_PARAMETERS = """
new_dataset = catalog.create_dataset(
    dataset_id='GSE123',
    data_type='Bulk RNAseq',
    data='path/to/data/file.gct',
    metadata=dict(),
    ingestion_params={'priority': 'high', 'file_metadata': True, 'ingestion_run_id': '<run_id>'}
)
"""

LIST = "catalog.list_datasets(limit=4)"

READ = """
dataset = catalog.get_dataset(dataset_id='SCP890')

print(dataset)
# Dataset(dataset_id='SCP890', data_type='Single Cell RNASeq', ...),

print(dataset.data_type)
# 'Single Cell RNASeq'
"""

USE = """
# load the metadata
dataset.metadata()

# download the data into an h5ad file
dataset.download("./mydataset.h5ad")

# alternatively, load the data directly into memory
adata = dataset.load()
"""

CHANGE = """
# load data
adata = catalog.get_dataset('SCP890').load()

# filter cells
scanpy.pp.filter_cells(adata)

# update data
catalog.update_dataset('SCP890', data=adata)
"""

VERSIONS = """
versions = catalog.list_versions(dataset_id='GSE101720_GPL18573_raw')

for version in versions:
    print(version.metadata())
"""

ROLLBACK = "catalog.rollback(dataset_id='GSE101720_GPL18573_raw', version_id='<version_id>')"

FILES = """
dataset_id = 'GSE101720_GPL18573_raw'

catalog.attach_file(dataset_id, path='./analysis/report.html')

catalog.attach_file(dataset_id, './de_results.csv', tag='Diff Exp Results')
catalog.attach_file(dataset_id, './counts/vst_normalized_counts.csv', tag='Diff Exp Results')
"""

DOWNLOAD_FILES = """
sup_files = catalog.list_files(dataset_id)
sup_files

for file in sup_files:
    if file.tag == "Diff Exp Results":
        file.download('./')
"""

BULK = """
# Download all metadata
datasets = catalog.list_datasets(prefetch_metadata=True)

# Create a mapping from dataset_id to the new metadata dictionaries
dataset_id_to_metadata = {}

for dataset in datasets:
  new_metadata = {**dataset.metadata(), "new_field": "foobar"}
  dataset_id_to_metadata[dataset.dataset_id] = new_metadata

# Import helper function
from polly_core.threading_utils import for_each_threaded

# Run this function across multiple threads
def fn(dataset):
    dataset_id = dataset.dataset_id
    catalog.update_dataset(
        dataset_id, metadata=dataset_id_to_metadata[dataset_id]
    )

for_each_threaded(items=datasets, fn=fn, max_workers=10, verbose=True)
"""

STUDIES = """
catalog.set_parent_study(dataset_id='GSE123', study_id='PMID123')
study_ids = catalog.list_studies()
members = catalog.list_datasets_in_study(study_id='PMID123')
catalog.set_parent_study(dataset_id='GSE123', study_id=None)
"""

COPY = """
from polly_core.data_management import copy_dataset
copy_dataset('9', 'GSE123', '17', 'GSE123_copy')
"""


class Notebook:
    """Cells that share their names, in a folder of their own, on a real atlas."""

    def __init__(self, atlas: RunningAtlas, folder: Path) -> None:
        self.names: dict[str, Any] = {}
        self.folder = folder
        self.words = {
            '"<access_key>"': repr(atlas.api_key),
            '"9"': repr(atlas.new_atlas()),
            "'17'": repr(atlas.new_atlas()),
        }
        self.words["'9'"] = self.words['"9"']

    def run(self, cell: str, **words: str) -> Any:
        for name, value in {**self.words, **words}.items():
            cell = cell.replace(name, value)
        exec(compile(cell, "tutorial", "exec"), self.names)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def notebook(atlas: RunningAtlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("POLLY_API_URL", atlas.api_url)
    monkeypatch.chdir(tmp_path)
    book = Notebook(atlas, tmp_path)
    book.write("path/to/data/file.gct", "#1.2\n1\t1\nName\tDescription\ts\nr\td\t1.5\n")
    book.run(START)
    yield book
    Polly.default_session = None


def test_creating_listing_studies_and_copying(notebook: Notebook) -> None:
    notebook.run(CREATE)
    names = notebook.names
    made = names["new_dataset"]
    assert re.fullmatch(
        r"Dataset\(dataset_id='GSE123', data_type='Bulk RNAseq', "
        r"last_modified_at='\d{4}-\d\d-\d\d \d\d:\d\d:\d\d', data_format='gct'\)",
        repr(made),
    )
    assert made.metadata() == {"description": "...", "tissue": ["lung"]}
    notebook.run(LIST)
    notebook.run(STUDIES)
    assert names["study_ids"] == ["PMID123"]
    assert names["members"] == ["GSE123"]
    notebook.run(COPY)
    assert names["catalog"].get_dataset("GSE123").study_id is None


def test_ingestion_parameters_reach_the_service(notebook: Notebook) -> None:
    notebook.run(CREATE_WITH_PARAMETERS)
    catalog = notebook.names["catalog"]
    found = list(catalog._calls.every(catalog._paths.ingestions("<run_id>", None)))
    assert [entry.attributes["dataset_id"] for entry in found] == ["GSE123"]
    assert found[0].attributes["params"] == {
        "priority": "high",
        "file_metadata": True,
        "ingestion_run_id": "<run_id>",
    }


def test_reading_and_changing_single_cells(
    notebook: Notebook, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("anndata")
    import numpy as np
    from anndata import AnnData

    names = notebook.names
    counts = np.arange(12, dtype="float32").reshape(4, 3)
    names["catalog"].create_dataset("SCP890", "Single Cell RNASeq", AnnData(counts), {"n": 1})
    notebook.run(READ)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].startswith("Dataset(dataset_id='SCP890', data_type='Single Cell RNASeq',")
    assert shown[1] == "Single Cell RNASeq"
    notebook.run(USE)
    assert (notebook.folder / "mydataset.h5ad").exists()
    assert names["adata"].shape == (4, 3)

    class Scanpy:
        """Stands for the package, which the project does not need."""

        class pp:  # noqa: N801
            @staticmethod
            def filter_cells(adata: AnnData) -> None:
                adata._inplace_subset_obs([0, 2])

    names["scanpy"] = Scanpy
    notebook.run(CHANGE)
    changed = names["catalog"].get_dataset("SCP890").load()
    assert changed.X.tolist() == counts[[0, 2]].tolist()


def test_versions_and_rollback(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = notebook.names["catalog"]
    file = "path/to/data/file.gct"
    first = catalog.create_dataset("GSE101720_GPL18573_raw", "T", file, {"n": 1})
    catalog.update_dataset("GSE101720_GPL18573_raw", metadata={"n": 2})
    notebook.run(VERSIONS)
    assert capsys.readouterr().out == "{'n': 2}\n{'n': 1}\n"
    notebook.run(ROLLBACK, **{"<version_id>": first.version_id})
    assert catalog.get_dataset("GSE101720_GPL18573_raw").metadata() == {"n": 1}
    assert len(catalog.list_versions("GSE101720_GPL18573_raw")) == 3


def test_supplementary_files(notebook: Notebook) -> None:
    catalog = notebook.names["catalog"]
    catalog.create_dataset("GSE101720_GPL18573_raw", "T", "path/to/data/file.gct", {})
    notebook.write("analysis/report.html", "<html>")
    notebook.write("de_results.csv", "a")
    notebook.write("counts/vst_normalized_counts.csv", "b")
    notebook.run(FILES)
    notebook.write("de_results.csv", "changed since")
    notebook.run(DOWNLOAD_FILES)
    shown = repr(notebook.names["sup_files"])
    assert re.fullmatch(
        r"\[SupplementaryFile\(file_name='de_results.csv', file_format='csv', "
        r"created_at='[^']*', tag='Diff Exp Results'\), "
        r"SupplementaryFile\(file_name='report.html', file_format='html', created_at='[^']*'\), "
        r"SupplementaryFile\(file_name='vst_normalized_counts.csv', .*\)\]",
        shown,
    )
    assert (notebook.folder / "de_results.csv").read_text() == "a"
    assert (notebook.folder / "vst_normalized_counts.csv").read_text() == "b"
    assert not (notebook.folder / "report.html").exists()


def test_the_bulk_snippet(notebook: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = notebook.names["catalog"]
    for number in range(30):
        catalog.create_dataset(f"D{number}", "T", "path/to/data/file.gct", {"n": number})
    notebook.run(BULK)
    found = {d.dataset_id: d.metadata() for d in catalog.iter_datasets()}
    assert found == {f"D{n}": {"n": n, "new_field": "foobar"} for n in range(30)}
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "30 done, 0 failed" in captured.err


def snippets() -> list[str]:
    """Every ``>>>`` example and every import of the tutorial."""
    text = TUTORIAL.read_text()
    found = re.findall(r"^(?:from|import) polly[^\n]*", text, re.MULTILINE)
    for block in re.findall(r"(?:^>>>[^\n]*\n(?:^\.\.\.[^\n]*\n)*)+", text, re.MULTILINE):
        lines = [re.sub(r"^(>>>|\.\.\.) ?", "", line) for line in block.splitlines()]
        found.append("\n".join(lines))
    return found


@pytest.mark.skipif(not TUTORIAL.exists(), reason="the tutorial's text is not beside this checkout")
def test_every_example_of_the_reference_parses_and_every_import_works() -> None:
    found = [text.replace("polly.", "polly_core.") for text in snippets()]
    assert len(found) > 15
    imports = 0
    for text in found:
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                names: dict[str, Any] = {}
                exec(ast.unparse(node), names)
                imports += 1
    assert imports >= 4


@pytest.mark.skipif(not TUTORIAL.exists(), reason="the tutorial's text is not beside this checkout")
def test_the_snippets_above_are_those_of_the_tutorial() -> None:
    """Every statement of ours is in the tutorial; comments, output and blank lines do not count."""
    text = "".join(TUTORIAL.read_text().split())
    ours = (
        START,
        CREATE,
        CREATE_WITH_PARAMETERS,
        LIST,
        READ,
        USE,
        CHANGE,
        VERSIONS,
        ROLLBACK,
        FILES,
        DOWNLOAD_FILES,
        BULK,
    )
    for cell in ours:
        for line in cell.replace("polly_core", "polly").splitlines():
            words = "".join(line.split())
            assert line.startswith("#") or words in text, line
