"""What leads from each version of the schema to the next.

Statements are written out: ``schema.py`` goes on changing, what was released does not.
"""

from sqlalchemy import Connection

_TO_2 = (
    "ALTER TABLE runs ADD COLUMN origin_run_id VARCHAR REFERENCES runs (run_id)",
    "ALTER TABLE runs ADD COLUMN copies_from VARCHAR",
    "CREATE INDEX ix_runs_origin_run_id ON runs (origin_run_id)",
    """
    CREATE TABLE steps (
        run_id VARCHAR NOT NULL,
        seq INTEGER NOT NULL,
        position INTEGER NOT NULL,
        result TEXT NOT NULL,
        PRIMARY KEY (run_id, seq, position),
        FOREIGN KEY (run_id, seq) REFERENCES items (run_id, seq)
    ){without_rowid}
    """,
    """
    CREATE TABLE approvals (
        run_id VARCHAR NOT NULL,
        plan_digest VARCHAR NOT NULL,
        wave INTEGER NOT NULL,
        approved_by TEXT NOT NULL,
        approved_at BIGINT NOT NULL,
        PRIMARY KEY (run_id, plan_digest, wave),
        FOREIGN KEY (run_id) REFERENCES runs (run_id)
    ){without_rowid}
    """,
)

_TO_3 = (
    "ALTER TABLE runs ADD COLUMN broken INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE executions ADD COLUMN pace TEXT",
    "ALTER TABLE executions ADD COLUMN pace_at BIGINT",
)


def to_2(connection: Connection) -> None:
    """Steps of items, approvals, where a run comes from."""
    suffix = " WITHOUT ROWID" if connection.dialect.name == "sqlite" else ""
    for statement in _TO_2:
        connection.exec_driver_sql(statement.format(without_rowid=suffix))


def to_3(connection: Connection) -> None:
    """What verification found at the end; how fast a running execution goes."""
    for statement in _TO_3:
        connection.exec_driver_sql(statement)
