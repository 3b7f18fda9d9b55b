-- What the cloud answered, of good answers as of refused ones: its Success, and its own Message. Its Code is in `code`.
ALTER TABLE attempts ADD COLUMN success INTEGER CHECK (success IN (0, 1));
ALTER TABLE attempts ADD COLUMN answer  TEXT;
