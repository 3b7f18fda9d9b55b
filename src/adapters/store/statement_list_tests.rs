//! The list of all statements, for the tests that look at each: how SQLite runs it, and whether it runs on rows. The sources of
//! this folder are read, so that no statement is left out.

use std::{collections::BTreeSet, fs, path::Path};

use syn::{
    parse::ParseStream,
    visit::{self, Visit},
};

macro_rules! statements {
    ($($module:ident { $($name:ident),* })*) => {
        &[$($((concat!(stringify!($module), "::", stringify!($name)), super::$module::$name)),*),*]
    };
}

/// Each statement by its module and name.
pub(super) const STATEMENTS: &[(&str, &str)] = statements! {
    absences {
        ABSENCE
    }
    audit {
        INSERT_AUDIT, AUDIT
    }
    backup {
        COPY_INTO, INTEGRITY, ORPHANS, TAKE_NUMBER_OFF, ALL_SETTINGS
    }
    bake_rows {
        BAKE_ROW_COLUMNS, BAKE_ROW, NEWEST_BAKE, ROW_COVERING, ATTEMPTS_OF, SETTINGS_OF, COUNTS_SINCE,
        COUNTS_OF_SCHEDULE, VETOED_SINCE
    }
    border {
        LAST_NUMBER, TRIGGERS, UNFINISHED
    }
    brakes {
        SET_JUDGED, LINE_RULES, SET_LINE_RULES, DROP_LINE_RULES, COUNTED_DELETIONS, BRAKES, SET_BRAKES, DROP_BRAKES
    }
    channels {
        DUE_CHANNELS, NEXT_CHANNELS, QUEUE_CHANNELS, CHANNELS_OBSERVED, CHANNELS_AGAIN, ASSIGNED_CHANNELS,
        PAST_OF_CHANNELS, SET_CHANNEL, DROP_CHANNEL, INSERT_CHANNEL_HISTORY, SET_VETO, LIFT_VETO, CHANNELS_NOW,
        CHANNEL_HISTORY, LEFT_BY_CHANNELS
    }
    checks {
        DUE_CHECKS, NEXT_CHECK, END_CHECK, CHECK_OF_IMAGE, VETO_OF_IMAGE
    }
    clock_steps {
        SLOTS_AHEAD, ROWS_AHEAD, REMOVE_ROWS_AHEAD, SPLIT_ROWS_AHEAD, SHRINK_ROWS_AHEAD, END_QUEUED_AHEAD,
        QUEUED_AHEAD, CLAMP_IMAGES, CLAMP_SCAN, IMAGES_AHEAD, NEWEST_WRITE, AUDIT_BEGINS
    }
    deletions {
        LINES_WITH_MARKS, IMAGE_VANISHED, NEXT_DELETION, MARKED_IMAGES, NEXT_SEARCH, SENT_DELETIONS, MARK_IMAGE, UNMARK_IMAGE,
        CONFIRM_DELETIONS, BEGIN_DELETION, END_DELETION, PUT_OFF_DELETION, SET_USERS, BEGIN_FAILED_DELETION,
        END_FAILED_DELETION, PUT_OFF_FAILED_DELETION
    }
    distributions {
        DUE_COPIES, NEXT_COPY, UPDATE_COPIES, RECORD_REPLICAS, REOPEN_COPIES, ADD_COPIES, COPIES_OF, REPLICA_REGIONS, FAILED_COPIES
    }
    event_subjects {
        RELATED_SUBJECTS
    }
    health {
        LINES_TO_JUDGE, LOST_SLOTS, NONE_GOOD_SINCE, UNVERIFIED_IMAGES
    }
    history {
        SETTLE
    }
    images {
        PRESENT_IMAGES_OF, LINES_OF_IMAGES, GOING_IMAGES, IMAGES_BY_ID, ONE_IMAGE, NEWEST_RESULTS, LAST_SCAN, SET_SCAN,
        RECORD_SIGHTS, LINE_OF_IMAGE, ADOPT_IMAGE, RAISE_VERSION, SET_PIN, LIFT_PIN
    }
    learned {
        WORK_IN_CLOUD, UNMARK_ALL, LEARNED, LEARN, UNLEARN
    }
    lineage {
        LINEAGE, IS_EMPTY, BEGIN_RUN, COUNT_STEP, END_RUN, FORGET_RUN
    }
    lines {
        ALL_VERSIONS, LAST_DURATIONS, LAST_DURATIONS_OF
    }
    log_binding {
        CHECKPOINT, RANDOM_NUMBER
    }
    maintenances {
        MAINTENANCE_BEGINS
    }
    manual_bakes {
        BAKE_OF_SLOT
    }
    migrating {
        DROP_STATISTICS
    }
    open_bakes {
        HAS_OPEN_BAKE, OPEN_BAKES, PENDING_RESTARTS, IMAGES_IN_PROGRESS
    }
    outbox {
        INSERT_EVENTS, EVENTS, NEWEST_EVENT, PRUNE_EVENTS
    }
    page {
        LINES_WITHOUT_IMAGE, NEWEST_IMAGES_OF, NEWEST_IMAGES_AFTER, RECORDED_BETWEEN, RECORDED_OPEN,
        COUNTED_BETWEEN, RECORDED_OF, COPIES_OF_IMAGES
    }
    pauses {
        ALL_PAUSES, PAUSE_OF, SET_PAUSE, LIFT_PAUSE, CLEAR_STREAK, TOO_MANY_FAILURES, RECOVERED_SCHEDULES, ALL_STREAKS
    }
    present_images {
        IMAGES_OF_LINES
    }
    problems {
        STANDING_PROBLEMS, SET_PROBLEM, DROP_PROBLEM, ACKNOWLEDGE_PROBLEM
    }
    reader {
        QUICK_CHECK
    }
    rebuilding {
        RECORDED, LISTED_IMAGES, TAKE_BACK_IMAGES, INSERT_REBUILT, MISSED_BUT_MADE, REMOVE_MISSED_BUT_MADE, SHORTEN_MISSED_BUT_MADE,
        REMOVE_REBUILT_RANGES, UNCOUNT_REBUILT, WAKE_UNKNOWN, INSERT_REBUILT_IMAGES
    }
    schema {
        ENCODING, APPLIED_MIGRATIONS, SCHEMA_OBJECTS
    }
    schedule_rows {
        NEWEST_ROWS, NEWEST_GOOD_IMAGES
    }
    since_backup {
        DECISIONS, KEEP_PIN, KEEP_VETO
    }
    slots {
        INSERT_BAKES, INSERT_SETTINGS, UPDATE_ACCOUNTED, SLOTS_WITH_ROWS, OPEN_INSTANCES
    }
    strays {
        SET_FAILED_IMAGES, DROP_FAILED_IMAGES, FAILED_IMAGES, SET_UNRECORDED_IMAGES, DROP_UNRECORDED_IMAGES,
        UNRECORDED_IMAGES
    }
    tables {
        TABLE_NAMES, MIGRATION, COLUMNS_OF
    }
    targets {
        UPSERT_TARGETS, REMOVE_TARGETS, ALL_TARGETS, SEEN_OF, SCHEDULE_WORDS, SCHEDULE_ZONES, INSTANCE_WORDS
    }
    transitions {
        UPDATE_BAKES, RAISE_VERSIONS, INSERT_ATTEMPTS, DUE_BAKES, OVERDUE_QUEUED, NEXT_QUEUED, OPEN_BAKE, NEXT_WAKE,
        CLAMP_WAKEUPS_AFTER_CLOCK_STEP, WAKE_OUTAGE_WAITS, BUSY_BUILDERS, COUNT_FAILURES, INSERT_IMAGES,
        INSERT_DISTRIBUTIONS
    }
    waits {
        AT_WORK, QUEUE_DETAILS, GIVE_UP_AT
    }
};

/// SQL that is no statement of the list: the frame of transactions, and texts that are made for a table or a number.
const OTHER_SQL: [&str; 14] = [
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "SELECT count(*) FROM {}",
    "SELECT json_object({}) FROM {} ORDER BY {}",
    "DELETE FROM {}",
    "DROP TRIGGER \"{name}\"",
    "SELECT {all} FROM {} ORDER BY {keys} LIMIT {PAGE}",
    "SELECT {all} FROM {} WHERE ({keys}) > ({marks}) ORDER BY {keys} LIMIT {PAGE}",
    "UPDATE {} SET {} WHERE {}",
    "INSERT INTO {} ({}) SELECT {} FROM json_each(?1)",
    "PRAGMA user_version = {new}",
    "SELECT CAST({key} AS TEXT) FROM {table} WHERE {column} IS NOT NULL AND NOT {fits} LIMIT {NAMED}",
];

/// What statements begin with.
const VERBS: [&str; 20] = [
    "ALTER",
    "ANALYZE",
    "ATTACH",
    "BEGIN",
    "COMMIT",
    "CREATE",
    "DELETE",
    "DETACH",
    "DROP",
    "EXPLAIN",
    "INSERT",
    "PRAGMA",
    "REINDEX",
    "REPLACE",
    "ROLLBACK",
    "SAVEPOINT",
    "SELECT",
    "UPDATE",
    "VACUUM",
    "WITH",
];

fn is_sql(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|word| VERBS.contains(&word))
}

/// SQL in a source: constants, and all else that is no part of one.
struct Sources {
    module: String,
    constants: BTreeSet<String>,
    strays: Vec<String>,
}

impl Sources {
    fn stray(&mut self, text: &str) {
        self.strays.push(format!("{}: {text}", self.module));
    }
}

/// Texts within the arguments of a macro.
fn texts(input: ParseStream<'_>) -> syn::Result<Vec<syn::LitStr>> {
    let mut found = Vec::new();
    while !input.is_empty() {
        let content;
        if input.peek(syn::LitStr) {
            found.push(input.parse()?);
        } else if input.peek(syn::token::Paren) {
            syn::parenthesized!(content in input);
            found.extend(texts(&content)?);
        } else if input.peek(syn::token::Bracket) {
            syn::bracketed!(content in input);
            found.extend(texts(&content)?);
        } else if input.peek(syn::token::Brace) {
            syn::braced!(content in input);
            found.extend(texts(&content)?);
        } else {
            input.step(|cursor| Ok(((), cursor.token_tree().map_or(*cursor, |(_, rest)| rest))))?;
        }
    }
    Ok(found)
}

impl<'ast> Visit<'ast> for Sources {
    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {
        // Modules within a file are those of its tests.
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !item.attrs.iter().any(|attribute| attribute.path().is_ident("cfg")) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        let is_statement = match &*item.expr {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) => is_sql(&text.value()),
            // A text that is made of parts.
            syn::Expr::Macro(_) => true,
            _ => return visit::visit_item_const(self, item),
        };
        if is_statement {
            self.constants.insert(format!("{}::{}", self.module, item.ident));
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        let text = text.value();
        if is_sql(&text) && !OTHER_SQL.contains(&&*text) {
            self.stray(&text);
        }
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        for text in called.parse_body_with(texts).unwrap() {
            self.visit_lit_str(&text);
        }
    }

    fn visit_item_macro(&mut self, _: &'ast syn::ItemMacro) {
        // A part that statements have in common; the constants that use it are listed.
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let syn::Expr::Path(function) = &*call.func
            && function.path.segments.iter().any(|part| part.ident.to_string().starts_with("query"))
            && let Some(syn::Expr::Macro(_)) = call.args.first()
        {
            self.stray("a query whose text is made where it is executed");
        }
        visit::visit_expr_call(self, call);
    }
}

/// All SQL of this folder that is compiled into the product.
fn read_sources() -> (BTreeSet<String>, Vec<String>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/adapters/store");
    let (mut constants, mut strays) = (BTreeSet::new(), Vec::new());
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let module = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() || module.ends_with("tests") {
            continue;
        }
        let mut sources = Sources { module, constants: BTreeSet::new(), strays: Vec::new() };
        sources.visit_file(&syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap());
        constants.append(&mut sources.constants);
        strays.append(&mut sources.strays);
    }
    (constants, strays)
}

#[test]
fn every_statement_is_in_the_list() {
    let (constants, strays) = read_sources();
    let listed: BTreeSet<String> = STATEMENTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(listed.len(), STATEMENTS.len(), "a statement is listed twice");
    let missing: Vec<_> = constants.difference(&listed).collect();
    assert!(missing.is_empty(), "add these statements to the list: {missing:#?}");
    let unread: Vec<_> = listed.difference(&constants).collect();
    assert!(unread.is_empty(), "the sources were read without finding {unread:?}");
    assert!(strays.is_empty(), "make these texts constants, and add them to the list: {strays:#?}");
}
