"""The tables of the self-hosted atlas.

``datasets`` holds live datasets only; ``versions`` keeps the history over deletions, numbered
from 1 per id, with the life it belongs to. Times are Unix milliseconds.
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text

SCHEMA_VERSION = 1
EVERY_ATLAS = "*"

metadata = MetaData()

server = Table(
    "server",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

atlases = Table(
    "atlases",
    metadata,
    Column("atlas_id", Text, primary_key=True),
    # The object store matches prefixes without regard to letter case.
    Column("folded_id", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    sqlite_with_rowid=False,
)

keys = Table(
    "keys",
    metadata,
    Column("key_id", Text, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    Column("revoked_at", Integer),
    sqlite_with_rowid=False,
)

grants = Table(
    "grants",
    metadata,
    Column("key_id", Text, ForeignKey("keys.key_id"), primary_key=True),
    Column("atlas_id", Text, primary_key=True),
    Column("access", Text, nullable=False),
    sqlite_with_rowid=False,
)

datasets = Table(
    "datasets",
    metadata,
    Column("atlas_id", Text, ForeignKey("atlases.atlas_id"), primary_key=True),
    Column("dataset_id", Text, primary_key=True),
    Column("version_id", Text, nullable=False),
    Column("data_type", Text, nullable=False),
    Column("data_format", Text, nullable=False),
    Column("data_location", Text, nullable=False),
    Column("metadata_location", Text, nullable=False),
    Column("study_id", Text),
    Column("last_modified_at", Integer, nullable=False),
    Column("created_at", Integer, nullable=False),
    sqlite_with_rowid=False,
)
Index(
    "datasets_by_study",
    datasets.c.atlas_id,
    datasets.c.study_id,
    datasets.c.dataset_id,
    sqlite_where=datasets.c.study_id.is_not(None),
)

versions = Table(
    "versions",
    metadata,
    Column("atlas_id", Text, ForeignKey("atlases.atlas_id"), primary_key=True),
    Column("dataset_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("life", Integer, nullable=False),
    Column("version_id", Text, nullable=False, unique=True),
    Column("data_type", Text, nullable=False),
    Column("data_format", Text, nullable=False),
    Column("data_location", Text, nullable=False),
    Column("metadata_location", Text, nullable=False),
    Column("created_at", Integer, nullable=False),
    sqlite_with_rowid=False,
)

files = Table(
    "files",
    metadata,
    Column("atlas_id", Text, primary_key=True),
    Column("dataset_id", Text, primary_key=True),
    Column("file_name", Text, primary_key=True),
    Column("file_format", Text, nullable=False),
    Column("file_location", Text, nullable=False),
    Column("tag", Text),
    Column("derived_from", Text),
    Column("created_at", Integer, nullable=False),
    sqlite_with_rowid=False,
)

ingestions = Table(
    "ingestions",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("atlas_id", Text, ForeignKey("atlases.atlas_id"), nullable=False),
    Column("dataset_id", Text, nullable=False),
    # Null for the removal that a deletion queues.
    Column("version_id", Text),
    Column("run_id", Text, nullable=False),
    Column("params", Text, nullable=False),
    Column("at", Integer, nullable=False),
    sqlite_autoincrement=True,
)
Index("ingestions_in_order", ingestions.c.atlas_id, ingestions.c.number)
Index("ingestions_by_run", ingestions.c.atlas_id, ingestions.c.run_id, ingestions.c.number)
Index(
    "ingestions_by_dataset",
    ingestions.c.atlas_id,
    ingestions.c.dataset_id,
    ingestions.c.run_id,
    ingestions.c.number,
)
