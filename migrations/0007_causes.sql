-- Where the cause of a failed bake lies: a word of Cause. NULL where the row did not fail, and where a row of an earlier
-- version does not tell: retention and the automatic pause take those for failures of the image.
ALTER TABLE bakes ADD COLUMN cause TEXT;

UPDATE bakes
SET cause = CASE
        WHEN reason_code IN ('created_failed', 'stuck', 'vanished') THEN 'image'
        WHEN reason_code = 'instance_state' THEN 'instance'
        WHEN reason_code = 'name_taken' THEN 'operator'
        WHEN reason_code = 'hook_failed' THEN 'hook'
        WHEN reason_code IN ('quota', 'outage', 'credentials') THEN reason_code
        -- The call that was refused for good is the last one that failed.
        WHEN reason_code = 'refused' THEN (
            SELECT CASE WHEN a.code LIKE '%Instance.NotFound'
                          OR a.code IN ('Instance.ImageUnsupported', 'Instance.PhysicalNodeNotExist',
                                        'InvalidBaseImage.NotConfigured') THEN 'instance'
                        WHEN a.code LIKE 'Forbidden%' OR a.code LIKE 'NoPermission%' THEN 'credentials' END
            FROM attempts a WHERE a.bake_id = bakes.id AND a.stage IN ('stop', 'create') AND a.outcome <> 'ok'
            ORDER BY a.id DESC LIMIT 1)
    END
WHERE state = 'failed';
