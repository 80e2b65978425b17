-- What a machine's disks go on costing when it is switched off and kept. Of machines that are up already all of `extras` is
-- taken for it: the part that is their address was not told apart.
ALTER TABLE interval ADD COLUMN disks INTEGER NOT NULL DEFAULT 0;
UPDATE interval SET disks = extras WHERE closed = 0;
-- 1: the bill of a machine that is off, for its disks alone.
ALTER TABLE interval ADD COLUMN off INTEGER NOT NULL DEFAULT 0;
