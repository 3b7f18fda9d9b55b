-- The cloud's own status of a copy in its region, as last listed there; NULL where it never listed one.
ALTER TABLE distributions ADD COLUMN status TEXT;
