"""The format of a data file, from its name."""

from collections.abc import Iterator
from pathlib import PurePath

from polly_core.errors import InvalidInput
from polly_core.models.jsonvalue import Model

GZIPPED = "+gzip"
"""What a format's name ends in when the file is gzipped."""

_NAMED_LIKE_EXTENSION = (
    "txt gct csv tsv h5ad fasta fastq sam bam vcf maf idat bed dcm pdb mzml cel fcs ab1 sff png "
    "xml json sbml gff parquet pdf rds html zip xlsx md h5 mtx tar"
)
_RENAMED = {
    ".fa": "fasta",
    ".nii": "nifti",
    ".ped": "plink",
    ".map": "plink",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".rdata": "rdata",
    ".h5seurat": "h5seurat",
    ".gctx": "gctx",
    ".htm": "html",
    ".tgz": "tar" + GZIPPED,
}
_PLAIN = {f".{name}": name for name in _NAMED_LIKE_EXTENSION.split()} | _RENAMED
_FORMATS = _PLAIN | {
    f"{extension}.gz": name + GZIPPED
    for extension, name in _PLAIN.items()
    if not name.endswith(GZIPPED)
}


class FileFormat(Model):
    """The format that is told to the service and the extension that goes into the stored name.

    ``extension`` is spelt as in the file's name and starts with a dot, or is empty.
    """

    name: str
    extension: str


def infer_format(
    name: str | PurePath, explicit: str | None = None, *, argument: str = "data_format"
) -> FileFormat:
    """The format of a file, from an explicit one or else from the end of its name.

    Letter case does not matter and the longest known ending counts, so ``GSE1.v2.CSV.gz`` is
    ``csv+gzip``. An explicit format wins over the name. ``argument`` is how the caller's
    parameter is called in messages.

    Raises:
        InvalidInput: the name tells no format and none was given, or it names no file.
    """
    base = _base_name(name)
    if explicit is not None:
        if not explicit.strip():
            raise InvalidInput(f"{argument} for {base!r} is empty: expected a format like 'csv'")
        return FileFormat(name=explicit, extension=extension_of(base))
    for ending in _endings(base):
        known = _FORMATS.get(ending.lower())
        if known is not None:
            return FileFormat(name=known, extension=ending)
    raise InvalidInput(
        f"the format of {base!r} cannot be told from its name: expected an ending such as .csv, "
        f".gct, .h5ad or .csv.gz; pass {argument}= to say what it is"
    )


def extension_of(name: str | PurePath) -> str:
    """The known extension of a name, else what follows its last dot, ``.gz`` not counted alone.

    Empty where there is none. A leading dot marks a hidden file, not an extension.
    """
    base = _base_name(name)
    endings = list(_endings(base))
    for ending in endings:
        if ending.lower() in _FORMATS:
            return ending
    if not endings:
        return ""
    if endings[-1].lower() == ".gz" and len(endings) > 1:
        return endings[-2]
    return endings[-1]


def extension_for(format_name: str, stored_name: str) -> str:
    """The extension of a downloaded file: by format where the format has one of its own.

    Other formats keep the extension of the name under which the data is stored.
    """
    own = {"csv": ".csv", "json+gzip": ".json.gz", "gct": ".gct", "h5ad": ".h5ad"}
    return own.get(format_name) or extension_of(stored_name)


def _base_name(name: str | PurePath) -> str:
    text = name.as_posix() if isinstance(name, PurePath) else name
    base = text.rpartition("/")[2]
    if base in ("", ".", ".."):
        raise InvalidInput(f"{text!r} names no file: expected a path that ends in a file name")
    return base


def _endings(base: str) -> Iterator[str]:
    """Everything that could be the extension, longest first: ``.v2.csv.gz``, ``.csv.gz``, …"""
    body = base.lstrip(".")
    start = body.find(".")
    while start != -1:
        if body[start + 1 :]:
            yield body[start:]
        start = body.find(".", start + 1)
