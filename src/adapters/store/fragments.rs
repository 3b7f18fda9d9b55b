//! Parts of conditions that several statements have in common.

/// Slots without the image that they should have brought, as the index `bakes_lost` has them.
macro_rules! lost {
    () => {
        "(state = 'failed'
   OR state = 'skipped' AND trigger <> 'manual'
      AND coalesce(reason_code, '') NOT IN ('paused', 'calendar', 'vetoed_by_hook', 'cancelled', 'superseded',
                                            'clock_ahead', 'observe'))"
    };
}

/// Images that are good as of the last scan: the cloud has them, they are ours or were given to the line by a person,
/// nobody vetoes them, no check of them is due, and no call was sent that may have deleted them. `ImageRow::is_good` is the same.
macro_rules! good {
    () => {
        "deletion_state <> 'deleted' AND deletion_state <> 'deleting' AND missing_since IS NULL AND available = 1 AND (ours = 1 OR bake_id IS NULL)
       AND verify IS NOT 'due' AND NOT EXISTS (SELECT 1 FROM vetoes WHERE vetoes.image_id = images.image_id)"
    };
}

/// The newest good image of a line, the one of the highest version: its id, or NULL. The line's id is given as an expression.
macro_rules! newest_good {
    ($line:literal) => {
        concat!(
            "(SELECT image_id FROM images INDEXED BY images_present WHERE line_id = ",
            $line,
            " AND ",
            $crate::adapters::store::fragments::good!(),
            "\n   ORDER BY version DESC LIMIT 1)"
        )
    };
}

/// Images that are good, or would be if no person vetoed them. A slot with such an image is not lost: its image was made and
/// passed its check.
macro_rules! good_but_for_veto {
    () => {
        "deletion_state <> 'deleted' AND deletion_state <> 'deleting' AND missing_since IS NULL AND available = 1 AND (ours = 1 OR bake_id IS NULL)
       AND verify IS NOT 'due'
       AND (verify IS NOT 'failed' OR NOT EXISTS (SELECT 1 FROM vetoes WHERE vetoes.image_id = images.image_id))"
    };
}

/// The newest image of a line that is good, or would be without a person's veto: its id, or NULL.
macro_rules! newest_good_but_for_veto {
    ($line:literal) => {
        concat!(
            "(SELECT image_id FROM images INDEXED BY images_present WHERE line_id = ",
            $line,
            " AND ",
            $crate::adapters::store::fragments::good_but_for_veto!(),
            "\n   ORDER BY version DESC LIMIT 1)"
        )
    };
}

/// Since when a good image, given by the alias of its row, has been good. An adopted image is as old as its slot, whenever it
/// was adopted.
macro_rules! good_at {
    ($image:literal) => {
        concat!("CASE WHEN ", $image, ".bake_id IS NULL THEN ", $image, ".slot ELSE ", $image, ".available_at END")
    };
}

pub(super) use {good, good_at, good_but_for_veto, lost, newest_good, newest_good_but_for_veto};
