-- What the machine did while it ran no task: `boot`, `idle`, `drained`.
ALTER TABLE share ADD COLUMN standing TEXT NOT NULL DEFAULT 'idle';
