-- Whose task it was; NULL: nobody's, or not known.
ALTER TABLE share ADD COLUMN project TEXT;
ALTER TABLE share ADD COLUMN user TEXT;
