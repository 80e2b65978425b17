-- Whether a machine is on, being switched off to be kept, or off. JSON.
ALTER TABLE known ADD COLUMN power TEXT NOT NULL DEFAULT '"on"';
