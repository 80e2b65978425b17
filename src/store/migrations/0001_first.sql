-- Instants are nanoseconds since 1970 (UTC), durations nanoseconds, money micro-dollars, rates micro-dollars per hour.
-- `facts` is JSON: what never changes about a thing, and nobody searches by.

CREATE TABLE state (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

CREATE TABLE intent (
    id TEXT PRIMARY KEY,
    batch TEXT NOT NULL,
    opened INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    ended TEXT, -- how it ended; NULL while it stands
    facts TEXT NOT NULL
) STRICT;
CREATE INDEX intent_standing ON intent (id) WHERE ended IS NULL;

CREATE TABLE known (
    instance TEXT PRIMARY KEY,
    registered INTEGER NOT NULL,
    stop_sent INTEGER,
    drain TEXT, -- JSON
    hold TEXT, -- JSON
    facts TEXT NOT NULL
) STRICT;

CREATE TABLE gone (
    instance TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

CREATE TABLE interval (
    id INTEGER PRIMARY KEY,
    instance TEXT NOT NULL,
    pool TEXT NOT NULL,
    home TEXT NOT NULL,
    rate INTEGER, -- NULL: no price was known
    reservation INTEGER NOT NULL,
    start INTEGER NOT NULL,
    stop INTEGER,
    closed INTEGER NOT NULL DEFAULT 0,
    cost INTEGER -- set when it is closed, and final
) STRICT;
CREATE UNIQUE INDEX interval_open ON interval (instance) WHERE closed = 0;
CREATE INDEX interval_closed ON interval (stop) WHERE closed = 1;

CREATE TABLE share (
    interval INTEGER NOT NULL REFERENCES interval (id),
    place INTEGER NOT NULL,
    since INTEGER NOT NULL,
    queue TEXT NOT NULL,
    task TEXT,
    PRIMARY KEY (interval, place)
) STRICT, WITHOUT ROWID;

CREATE TABLE requeueing (
    task TEXT PRIMARY KEY,
    facts TEXT NOT NULL
) STRICT;

CREATE TABLE requeue (
    task TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) STRICT;

CREATE TABLE sample (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, -- `task` by queue, `boot` by pool
    name TEXT NOT NULL,
    duration INTEGER NOT NULL
) STRICT;
CREATE INDEX sample_of ON sample (kind, name, id);

CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    reason TEXT NOT NULL,
    queue TEXT,
    pool TEXT,
    instance TEXT,
    task TEXT,
    intent TEXT,
    revision TEXT
) STRICT;
CREATE INDEX journal_at ON journal (at, id);
CREATE INDEX journal_queue ON journal (queue, at) WHERE queue IS NOT NULL;
CREATE INDEX journal_instance ON journal (instance, at) WHERE instance IS NOT NULL;
CREATE INDEX journal_task ON journal (task, at) WHERE task IS NOT NULL;
CREATE INDEX journal_intent ON journal (intent) WHERE intent IS NOT NULL;
