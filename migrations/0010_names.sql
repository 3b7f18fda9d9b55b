-- Columns and a table get the names that the program and its documentation use.
ALTER TABLE bakes RENAME COLUMN covers TO slot_count;
ALTER TABLE bakes RENAME COLUMN covers_from TO first_slot;
ALTER TABLE targets RENAME COLUMN accounted_to TO processed_until;
ALTER TABLE images RENAME COLUMN fate TO deletion_state;
ALTER TABLE failed_images RENAME COLUMN fate TO deletion_state;
ALTER TABLE distributions RENAME COLUMN doing TO copy_state;
ALTER TABLE looks RENAME TO inventory_scan;

-- So do two fields of the state of open bakes, which statements read. Rows that have ended keep them: nothing reads those.
UPDATE bakes
SET progress = replace(replace(progress, '"owes_start":', '"restart_pending":'), '"owes_hooks":', '"end_hooks_pending":')
WHERE finished_at IS NULL;
