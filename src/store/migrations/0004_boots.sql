-- Machines that never registered, since the last one of their pool that did.
CREATE TABLE boot_failed (
    pool TEXT NOT NULL,
    instance TEXT NOT NULL,
    PRIMARY KEY (pool, instance)
) STRICT, WITHOUT ROWID;
