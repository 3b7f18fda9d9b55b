-- Indexes for statements that scanned all images: the versions of a line with those of deleted images, and instants that a
-- clock wrote while it was ahead.
CREATE INDEX images_by_line ON images (line_id, version);
CREATE INDEX images_by_availability ON images (available_at);
CREATE INDEX images_missing ON images (missing_since) WHERE missing_since IS NOT NULL;
