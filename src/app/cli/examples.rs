//! Examples of every command, for `--help`, the reference and the manual pages. A test parses each.

/// A command line, and what it is for.
pub type Example = (&'static str, &'static str);

/// The examples of each command.
pub const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "demo",
        &[
            ("imagebaked demo", "half a minute of show, without account and configuration"),
            ("imagebaked demo --dir trial --stay", "simulator, daemon and page, to try commands on"),
        ],
    ),
    (
        "init",
        &[
            ("imagebaked init", "a schedule for each instance of the account"),
            ("imagebaked init --stdout --region cn-hangzhou", "only print the file"),
        ],
    ),
    (
        "check",
        &[
            ("imagebaked check", "the file that the daemon reads"),
            ("imagebaked check new.toml --next 20", "another file, and its next 20 slots"),
            ("imagebaked check --explain golden.deadline", "where a value comes from"),
        ],
    ),
    ("doctor", &[("imagebaked doctor", "everything"), ("imagebaked doctor --no-probe", "only calls that read")]),
    ("coverage", &[("imagebaked coverage --strict", "exit code 1 if an instance has no schedule")]),
    ("crontab", &[("imagebaked crontab import /etc/crontab --system", "print schedules for its lines")]),
    (
        "status",
        &[
            ("imagebaked status", "verdict, problems, a row per schedule"),
            ("imagebaked status golden", "only this schedule"),
            ("imagebaked status --all", "every schedule, and all about the daemon"),
            ("imagebaked status --check", "one line for monitoring"),
        ],
    ),
    (
        "why",
        &[
            ("imagebaked why golden", "the newest slot"),
            ("imagebaked why golden yesterday", "each slot of a day"),
            ("imagebaked why golden --at 03:00", "the slot at that time, or why there was none"),
        ],
    ),
    (
        "plan",
        &[
            ("imagebaked plan tonight", "what runs tonight, and until when"),
            ("imagebaked plan golden", "the next week of one schedule"),
            ("imagebaked plan --diff new.toml", "what another file would change"),
        ],
    ),
    (
        "history",
        &[
            ("imagebaked history golden --since 7d", "a week of one schedule"),
            ("imagebaked history --state failed,skipped", "what did not work"),
            ("imagebaked history --code ExceedBuilderQuota", "bakes that met an error code"),
        ],
    ),
    ("show", &[("imagebaked show 42", "one bake with its calls")]),
    (
        "events",
        &[
            ("imagebaked events --since 12h --severity warning", "what a person should know"),
            ("imagebaked events golden --follow", "go on with new ones"),
        ],
    ),
    ("audit", &[("imagebaked audit --who alice --since 30d", "what a person did")]),
    ("ack", &[("imagebaked ack bake_failed golden --reason \"ticket 17\" --until 2d", "it does not count until then")]),
    ("unack", &[("imagebaked unack bake_failed golden", "it counts again")]),
    (
        "bake",
        &[
            ("imagebaked bake golden --wait", "bake, and wait for the image"),
            ("imagebaked bake golden office", "several schedules"),
            ("imagebaked bake farm --instance ecd-1", "one instance of a schedule"),
            ("imagebaked bake --all --yes", "everything, without a question"),
        ],
    ),
    (
        "retry",
        &[
            ("imagebaked retry 42 --wait", "the same again"),
            ("imagebaked retry 42 --stage distribute", "only its copies"),
        ],
    ),
    ("cancel", &[("imagebaked cancel 42", "a bake that has not started its image")]),
    (
        "pause",
        &[("imagebaked pause golden --until \"tomorrow 07:00\" --reason \"patch day\"", "skip the slots until then")],
    ),
    ("resume", &[("imagebaked resume golden", "from the next slot on")]),
    ("reload", &[("imagebaked reload", "after an edit of the file")]),
    (
        "images",
        &[
            ("imagebaked images golden", "its images, and what is deleted next"),
            ("imagebaked images --channel prod --json", "for other tools"),
        ],
    ),
    ("channels", &[("imagebaked channels golden --history", "every move of its channels")]),
    ("promote", &[("imagebaked promote imgc-2ze7 prod", "move a channel by hand")]),
    ("rollback", &[("imagebaked rollback golden prod --reason \"no sound\"", "back to the image before")]),
    ("veto", &[("imagebaked veto imgc-2ze7 --reason \"no sound\"", "no channel points to it")]),
    ("unveto", &[("imagebaked unveto imgc-2ze7", "it may be used again")]),
    ("pin", &[("imagebaked pin imgc-2ze7 --until 30d --reason audit", "keep it for a month")]),
    ("unpin", &[("imagebaked unpin imgc-2ze7", "the rules decide again")]),
    ("undelete", &[("imagebaked undelete imgc-2ze7", "take the mark off, and pin it")]),
    (
        "adopt",
        &[
            ("imagebaked adopt golden imgc-2ze7", "one image"),
            ("imagebaked adopt golden --name \"win11-*\" --dry-run", "show which would be adopted"),
        ],
    ),
    (
        "prune",
        &[
            ("imagebaked prune --dry-run", "what is deleted next, from the history"),
            ("imagebaked prune --dry-run --ask-cloud", "the same after a scan of the cloud"),
            ("imagebaked prune --confirm", "delete what is held back, too"),
        ],
    ),
    (
        "reconcile",
        &[("imagebaked reconcile", "compare"), ("imagebaked reconcile --apply", "add what only the cloud has")],
    ),
    ("backup", &[("imagebaked backup /backup/history.db", "while the daemon runs")]),
    ("restore", &[("imagebaked restore /backup/history.db", "with the daemon stopped")]),
    ("export", &[("imagebaked export history.json", "everything as JSON")]),
    ("import", &[("imagebaked import history.json", "into an empty history")]),
    ("run", &[("imagebaked run --log text", "in a terminal")]),
    (
        "sim",
        &[
            ("imagebaked sim --build-time 10s", "images take ten seconds"),
            ("imagebaked sim --state world.json --faults faults.toml", "a world that survives a restart, with faults"),
        ],
    ),
    ("schema", &[("imagebaked schema > imagebaked.schema.json", "for an editor")]),
    ("completions", &[("imagebaked completions bash", "for ~/.bashrc: source <(imagebaked completions bash)")]),
    ("man", &[("imagebaked man --out /usr/local/share/man/man1", "all pages")]),
];

/// The examples of a command.
pub fn examples(command: &str) -> &'static [Example] {
    EXAMPLES.iter().find(|(name, _)| *name == command).map_or(&[], |(_, examples)| examples)
}
