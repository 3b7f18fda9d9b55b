-- What an open bake holds, as its state says: the program writes it with the state. A row that has ended holds nothing.
ALTER TABLE bakes ADD COLUMN holds_builder INTEGER NOT NULL DEFAULT 0;
ALTER TABLE bakes ADD COLUMN holds_instance INTEGER NOT NULL DEFAULT 0;

UPDATE bakes
SET holds_builder = state NOT IN ('queued', 'starting', 'finishing'), holds_instance = state <> 'queued'
WHERE finished_at IS NULL;
