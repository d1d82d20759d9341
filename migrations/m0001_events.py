"""The first form: one append-only table of events, and two views for people with SQL.

The triggers make the database itself refuse what would rewrite history. A gap or a twin in `seq`, and a
`prev_hash` that is not the hash of the event before, are refused at the insert.
"""

from sqlite_utils import Database

EVENTS = """
CREATE TABLE events (
    seq         INTEGER PRIMARY KEY CHECK (seq >= 1),
    recorded_at TEXT    NOT NULL,
    session     INTEGER NOT NULL CHECK (session >= 1),
    kind        TEXT    NOT NULL,
    v           INTEGER NOT NULL CHECK (v >= 1),
    trial       TEXT,
    attempt     INTEGER,
    data        TEXT    NOT NULL CHECK (json_valid(data)),
    prev_hash   TEXT    NOT NULL,
    hash        TEXT    NOT NULL
) STRICT;

CREATE TRIGGER events_never_change BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are facts: they are never changed'); END;

CREATE TRIGGER events_never_go BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are facts: they are never deleted'); END;

CREATE TRIGGER events_in_a_row BEFORE INSERT ON events
WHEN NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)
  OR NEW.prev_hash IS NOT coalesce((SELECT hash FROM events WHERE seq = NEW.seq - 1), 'genesis')
BEGIN SELECT RAISE(ABORT, 'an event follows the one before it, without gap or twin'); END;
"""

# Filled once at each opening: it grows the write-ahead log to its working size, so that a durable append
# overwrites blocks instead of growing a file, and the blocks are a reserve when the disk fills.
WAL_RESERVE = """
CREATE TABLE wal_reserve (id INTEGER PRIMARY KEY CHECK (id = 1), filling BLOB NOT NULL) STRICT;
"""

VIEWS = """
CREATE VIEW transitions AS
SELECT seq, recorded_at, session, trial, attempt, kind,
       coalesce(json_extract(data, '$.error_type'), json_extract(data, '$.phase'),
                json_extract(data, '$.reason')) AS detail
FROM events WHERE trial IS NOT NULL;

CREATE VIEW trials AS
SELECT e.trial, e.attempt, e.kind AS last_event, e.recorded_at,
       json_extract(e.data, '$.result_file') AS result_file,
       json_extract(e.data, '$.headline.energy_total_j') AS energy_total_j,
       json_extract(e.data, '$.headline.provenance') AS provenance,
       json_extract(e.data, '$.error_type') AS error_type
FROM events AS e
WHERE e.seq IN (SELECT max(seq) FROM events
                WHERE trial IS NOT NULL AND kind NOT IN ('phase_entered', 'gap_waited') GROUP BY trial);
"""


def create_events(db: Database) -> None:
    """Create the table of events, its guards and its views, and mark the file as llem's."""
    # Statement by statement: executescript would commit the migration's own transaction.
    for statement in _statements(EVENTS + WAL_RESERVE + VIEWS):
        db.execute(statement)
    db.execute("PRAGMA application_id = 1819043181")  # 'llem' in ASCII
    db.execute("PRAGMA user_version = 1")


def _statements(script: str) -> list[str]:
    """Return the statements of ``script``, which stand apart by an empty line."""
    return [part.strip() for part in script.split("\n\n") if part.strip()]
