-- Orders of consoles that only watch, to the one that leads. `command` and `answer` are JSON.
CREATE TABLE posted (
    id TEXT PRIMARY KEY,
    who TEXT NOT NULL,
    at INTEGER NOT NULL,
    command TEXT NOT NULL,
    taken INTEGER, -- by the leader of this term
    answer TEXT
) STRICT, WITHOUT ROWID;
