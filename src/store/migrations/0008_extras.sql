-- The part of `rate` that is not the machine itself: its disks and its address.
ALTER TABLE interval ADD COLUMN extras INTEGER NOT NULL DEFAULT 0;
