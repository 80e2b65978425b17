-- When a task was last enqueued again. Of those of before nobody knows: they count from the newest line on.
ALTER TABLE requeue ADD COLUMN at INTEGER NOT NULL DEFAULT 0;
UPDATE requeue SET at = (SELECT coalesce(max(at), 0) FROM journal);
