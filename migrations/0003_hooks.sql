-- Two more states of a bake, and hooks among its calls. SQLite has no statement for a wider CHECK, and a copy of the
-- tables would take minutes where there is a million rows. So the text of the tables is changed in place, by the
-- procedure that its documentation of ALTER TABLE gives for constraints: rows stay as they are, and all of them fit.
PRAGMA writable_schema = ON;

UPDATE sqlite_schema
SET sql = replace(replace(sql, '''queued'', ''stopping''', '''queued'', ''preparing'', ''stopping'''),
                  '''starting'', ''succeeded''', '''starting'', ''finishing'', ''succeeded''')
WHERE type = 'table' AND name = 'bakes';

UPDATE sqlite_schema
SET sql = replace(sql, '''start'', ''prune''', '''start'', ''prune'', ''hook''')
WHERE type = 'table' AND name = 'attempts';

PRAGMA writable_schema = RESET;
