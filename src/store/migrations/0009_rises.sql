-- How the need for a pool's machines rose, and how it went on.
CREATE TABLE rise (
    id INTEGER PRIMARY KEY,
    pool TEXT NOT NULL,
    over INTEGER NOT NULL,
    lately INTEGER NOT NULL,
    more INTEGER NOT NULL
) STRICT;
CREATE INDEX rise_of ON rise (pool, id);
