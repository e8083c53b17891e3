"""The tables. Times are Unix milliseconds by the database's clock; JSON is text.

JSON is text in both databases: it is written as it was dumped and read as it was written, which
PostgreSQL's own types do not promise (they refuse NUL and reorder members).
"""

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Boolean,
    Column,
    ColumnElement,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    insert,
    literal_column,
    text,
)

metadata = MetaData()


def insert_if_absent(table: Table) -> TextClause:
    """Inserts a row unless one with its key is there; every column must be given.

    As text, which both databases read: SQLAlchemy has this per dialect only, and compiles it anew
    each time.
    """
    return text(f"{insert(table)} ON CONFLICT DO NOTHING")


schema_versions = Table(
    "ledger_schema",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", BigInteger, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("catalog_key", String, nullable=False),
    Column("spec", Text, nullable=False),
    Column("spec_digest", String, nullable=False),
    Column("options", Text, nullable=False),
    Column("state", String, nullable=False),
    Column("stop", String),
    Column("message", Text, nullable=False),
    Column("plan_digest", String),
    Column("total", Integer),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    Column("seconds", Double, nullable=False),
    Column("flow_run_ids", Text, nullable=False),
    # The run that this one undoes, or repeats a part of.
    Column("origin_run_id", ForeignKey("runs.run_id"), index=True),
    # Of a copy: the atlas it copies from.
    Column("copies_from", String),
    # Written datasets that verification found not as promised or asserted, at the run's end.
    Column("broken", Integer, nullable=False, server_default="0"),
)

control = Table(
    "control",
    metadata,
    Column("run_id", ForeignKey(runs.c.run_id), primary_key=True),
    Column("wanted", String, nullable=False),
    Column("concurrency", Integer),
)

executions = Table(
    "executions",
    metadata,
    Column("execution_id", String, primary_key=True),
    Column("run_id", ForeignKey(runs.c.run_id), nullable=False, index=True),
    Column("process", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    Column("pace", Text),
    Column("pace_at", BigInteger),
)

shards = Table(
    "shards",
    metadata,
    Column("run_id", ForeignKey(runs.c.run_id), primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("first_seq", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("pages", Text, nullable=False),
    Column("owner", ForeignKey(executions.c.execution_id), index=True),
    Column("epoch", Integer, nullable=False),
    Column("done", Boolean, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("shard", Integer, nullable=False),
    Column("dataset_id", String, nullable=False),
    Column("file_name", String, nullable=False),
    Column("row", Text),
    Column("state", String, nullable=False),
    Column("version_seen", String),
    Column("version_after", String),
    Column("reasons", Text, nullable=False),
    Column("inferred", Boolean, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("sent_at", BigInteger),
    Column("outcome_at", BigInteger),
    Column("verified_at", BigInteger),
    ForeignKeyConstraint(["run_id", "shard"], [shards.c.run_id, shards.c.shard]),
    # Twice in a selection would mean two workers of one run writing one dataset.
    UniqueConstraint("dataset_id", "file_name", "run_id"),
    sqlite_with_rowid=False,
)


def of_datasets(run_id: str | BindParameter[str], ids: BindParameter[str]) -> ColumnElement[bool]:
    """Items of a run by their datasets.

    The run is compared by an expression, so that SQLite (which has no statistics here) looks each
    dataset up instead of reading the whole run.
    """
    return items.c.dataset_id.in_(ids) & (items.c.run_id.concat("") == run_id)


IN_DOUBT = items.c.state.in_(
    [literal_column("'sent'", String), literal_column("'unknown'", String)]
)
"""Literal, so that both databases see that the index below answers it."""

Index(
    "items_in_doubt",
    items.c.dataset_id,
    sqlite_where=IN_DOUBT,
    postgresql_where=IN_DOUBT,
)

plans = Table(
    # Apart from the items: a plan of some kilobytes is then written once, and not again with each
    # change of the item's state.
    "plans",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("planned", Text, nullable=False),
    ForeignKeyConstraint(["run_id", "seq"], [items.c.run_id, items.c.seq]),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("result", Text, nullable=False),
    ForeignKeyConstraint(["run_id", "seq"], [items.c.run_id, items.c.seq]),
    sqlite_with_rowid=False,
)

approvals = Table(
    "approvals",
    metadata,
    Column("run_id", ForeignKey(runs.c.run_id), primary_key=True),
    Column("plan_digest", String, primary_key=True),
    Column("wave", Integer, primary_key=True, autoincrement=False),
    Column("approved_by", Text, nullable=False),
    Column("approved_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

tallies = Table(
    # Kept in the transaction that changes an item: totals then cost a row per shard and state.
    "tallies",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("state", String, primary_key=True),
    Column("items", Integer, nullable=False),
    Column("verified", Integer, nullable=False),
    ForeignKeyConstraint(["run_id", "shard"], [shards.c.run_id, shards.c.shard]),
    sqlite_with_rowid=False,
)

leases = Table(
    "leases",
    metadata,
    Column("catalog_key", String, primary_key=True),
    Column("dataset_id", String, primary_key=True),
    Column("run_id", ForeignKey(runs.c.run_id), nullable=False),
    Column("execution_id", ForeignKey(executions.c.execution_id), nullable=False, index=True),
    sqlite_with_rowid=False,
)
