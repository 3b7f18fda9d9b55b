//! Which image of a line is the newest good one: each answer that names it, or says that there is none, chooses the same.

use proptest::prelude::*;

use super::{
    Store,
    tests::{at, row},
};
use crate::domain::ids::{ImageId, LineId};

/// An image of a random history.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that is so or not")]
struct Made {
    deletion: &'static str,
    available: bool,
    ours: bool,
    missing: bool,
    verify: Option<&'static str>,
    vetoed: bool,
    adopted: bool,
}

fn made() -> impl Strategy<Value = Made> {
    let deletion = prop_oneof![
        4 => Just("kept"),
        1 => Just("refused"),
        1 => Just("marked"),
        1 => Just("deleting"),
        1 => Just("deleted"),
    ];
    let verify =
        prop_oneof![4 => Just(None), 1 => Just(Some("due")), 1 => Just(Some("passed")), 1 => Just(Some("failed"))];
    let bit = prop::bool::weighted;
    (deletion, bit(0.8), bit(0.8), bit(0.2), verify, bit(0.2), bit(0.3)).prop_map(
        |(deletion, available, ours, missing, verify, vetoed, adopted)| Made {
            deletion,
            available,
            ours,
            missing,
            verify,
            vetoed,
            adopted,
        },
    )
}

async fn fill(store: &Store, images: &[Made]) {
    let mut tx = store.begin().await.unwrap();
    for (n, image) in images.iter().enumerate() {
        let n = i64::try_from(n).unwrap() + 1;
        sqlx::query(
            "INSERT INTO images (image_id, line_id, schedule_id, instance_id, bake_id, version, image_name, slot, available_at,
                                 deletion_state, deleted_at, available, ours, missing_since, verify)
             VALUES ('imgc-' || ?1, 'golden', 'golden', 'ecd-1', CASE WHEN ?8 THEN NULL ELSE (SELECT min(id) FROM bakes) END, ?1,
                     'golden-v' || ?1, ?1, ?1, ?2, CASE ?2 WHEN 'deleted' THEN 9 END, ?3, ?4, CASE WHEN ?5 THEN 9 END, ?6);",
        )
        .bind(n)
        .bind(image.deletion)
        .bind(image.available)
        .bind(image.ours)
        .bind(image.missing)
        .bind(image.verify)
        .bind(image.vetoed)
        .bind(image.adopted)
        .execute(&mut *tx)
        .await
        .unwrap();
        if image.vetoed {
            let veto = sqlx::query("INSERT INTO vetoes VALUES ('imgc-' || ?1, 1, 'no sound', 'uid 0')").bind(n);
            veto.execute(&mut *tx).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
}

async fn assert_one_choice(images: Vec<Made>) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).await.unwrap();
    let slot = at("2027-01-01T03:00:00Z");
    store.record_slots(&[row("golden", slot)], &[], "abc", slot).await.unwrap();
    fill(&store, &images).await;
    let (reader, line) = (store.reader(), LineId::from("golden"));
    let rows = reader.present_images(Some(std::slice::from_ref(&line))).await.unwrap();
    // The newest version comes first.
    let expected: Option<ImageId> = rows.iter().find(|row| row.is_good()).map(|row| row.image.image_id.clone());
    let lines = std::slice::from_ref(&line);
    let of_status = reader.newest_good_images(lines).await.unwrap().remove(&line).map(|image| image.image_id);
    assert_eq!(of_status.map(ImageId::from), expected, "status");
    let of_page = reader.newest_images(lines).await.unwrap().pop().map(|image| image.image_id);
    assert_eq!(of_page.map(ImageId::from), expected, "the page of a schedule");
    let without = reader.lines_without_image(lines).await.unwrap();
    assert_eq!(without.len(), usize::from(expected.is_none()), "the overview");
    store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn all_answers_choose_one_newest_good_image(images in prop::collection::vec(made(), 0..6)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(assert_one_choice(images));
    }
}
