-- Tasks whose machine the cloud took back while it ran them, and when last.
CREATE TABLE interrupted (
    task TEXT PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;
