//! The page in a real browser: nothing overflows, everything can be read, every link answers, and the keyboard reaches
//! everything.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are not recognised as tests")]

#[path = "support/browser.rs"]
mod browser;
mod support;

use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
};

use support::{Cloud, Host, eventually, exchange};

use self::browser::Browser;

/// Lists what is wrong with the page that is open.
const AUDIT: &str = include_str!("support/page_audit.js");
/// Pages that are wrong on purpose, with their status; each has a link to itself.
const WRONG: [(&str, &str); 4] = [
    ("/nowhere/at/all", "404"),
    ("/schedule/offise", "404"),
    ("/bake/99", "404"),
    ("/history?state=foo&since=nonsense", "400"),
];
/// Everything that the keyboard must reach.
const REACHABLE: &str = "a[href], button, input, select, summary, [tabindex='0']";

/// A host whose page is at an address of its own.
fn host_with_page(cloud: &Cloud, schedules: &str) -> (Host, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut host = Host::new(cloud.addr, schedules);
    let path = host.path("imagebaked.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("listen = \"\"", &format!("listen = \"{address}\""));
    std::fs::write(&path, text).unwrap();
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ninstance_id = \"ecd-broken\"\nnth = 1\n\
         code = \"Instance.ImageUnsupported\"\nstatus = 400\n",
    );
    host.start();
    (host, address)
}

/// A daemon with a good schedule, one that fails, one that waits for its slot, and one of several instances.
fn busy_host(cloud: &Cloud) -> (Host, SocketAddr) {
    let (host, address) = host_with_page(
        cloud,
        r#"
[defaults]
timezone = "Asia/Shanghai"
keep = { last = 1, grace = "2d" }

[[schedule]]
name = "win11-golden-with-a-long-name-of-the-department"
instance_id = "ecd-golden"
cron = "0 3 * * *"
channels = { stable = { after = "3d" } }

[[schedule]]
name = "office"
instance_ids = ["ecd-office1", "ecd-office2"]
cron = "0 3 * * *"

[[schedule]]
name = "broken"
instance_id = "ecd-broken"
cron = "0 4 * * *"
retry = { attempts = 1 }
"#,
    );
    for schedule in
        ["win11-golden-with-a-long-name-of-the-department", "win11-golden-with-a-long-name-of-the-department"]
    {
        host.bake(schedule);
    }
    host.expect(1, &["bake", "broken", "--wait"]);
    host.expect(0, &["bake", "office", "--wait"]);
    (host, address)
}

/// A daemon with 300 schedules over the whole day in several zones, one of which fails.
fn crowded_host(cloud: &Cloud) -> (Host, SocketAddr) {
    let zones = ["Asia/Shanghai", "Asia/Shanghai", "Europe/Berlin", "America/New_York"];
    let mut text: String = (0..298)
        .map(|n| {
            // So often that a night is crowded at whatever hour the test runs.
            let (minute, zone) = (n % 60, zones[n % zones.len()]);
            format!(
                "[[schedule]]\nname = \"farm-{n:03}\"\ninstance_id = \"ecd-{n}\"\ncron = \"{minute} */2 * * *\"\n\
                 timezone = \"{zone}\"\n"
            )
        })
        .collect();
    text.push_str(&format!(
        "[[schedule]]\nname = \"broken\"\ninstance_id = \"ecd-broken\"\ncron = \"0 4 * * *\"\nretry = {{ attempts = 1 }}\n\
         [[schedule]]\nname = \"{}\"\ninstance_id = \"ecd-long\"\ncron = \"0 4 * * *\"\npaused = true\n",
        "n".repeat(64)
    ));
    let (host, address) = host_with_page(cloud, &text);
    host.expect(1, &["bake", "broken", "--wait"]);
    (host, address)
}

/// What is wrong with these pages at both widths, light and dark; and the links on them.
fn audit(browser: &mut Browser, root: &str, pages: &[&str]) -> (Vec<String>, BTreeSet<String>) {
    let (mut wrong, mut links) = (Vec::new(), BTreeSet::new());
    for page in pages {
        browser.set_view(1280, false);
        browser.open(&format!("{root}{page}"));
        for (width, is_dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
            browser.set_view(width, is_dark);
            let found = browser.evaluate(AUDIT);
            let faults = found.as_array().unwrap().iter();
            wrong.extend(
                faults.map(|fault| format!("/{page} at {width}{}: {fault}", if is_dark { " dark" } else { "" })),
            );
        }
        let found =
            browser.evaluate("[...document.querySelectorAll('[href]')].map((link) => new URL(link.getAttribute('href'), document.baseURI).href)");
        let found =
            found.as_array().unwrap().iter().map(|link| link.as_str().unwrap().split('#').next().unwrap().to_owned());
        links.extend(found);
    }
    (wrong, links)
}

/// Every link leads to a page of this host that answers.
fn assert_links_answer(address: SocketAddr, links: &BTreeSet<String>) {
    let root = format!("http://{address}");
    for link in links {
        let path = link.strip_prefix(&root).unwrap_or_else(|| panic!("{link} leads elsewhere"));
        let answer = exchange(address, "GET", path, "");
        let code = answer.split(' ').nth(1).unwrap();
        // A probe for alerts answers as the problems are.
        let is_meant = path == "/healthz" && code == "503" || WRONG.contains(&(path, code));
        assert!(code == "200" || is_meant, "{path}: {code}");
    }
    assert!(links.len() > 10, "{links:?}");
}

/// The keyboard reaches everything on this page.
fn assert_keys_reach_all(browser: &mut Browser, page: &str) {
    browser.set_view(1280, false);
    browser.open(page);
    let count = format!("document.querySelectorAll(\"{REACHABLE}\").length");
    let wanted = browser.evaluate(&count).as_u64().unwrap();
    for _ in 0..wanted {
        browser.press_tab();
        browser.evaluate("document.activeElement.dataset.reached = 'yes'");
    }
    let missed = browser.evaluate(&format!(
        "[...document.querySelectorAll(\"{REACHABLE}\")].filter((one) => !one.dataset.reached).map((one) => one.outerHTML.slice(0, 90))"
    ));
    assert_eq!(missed.as_array().map(Vec::len), Some(0), "the keyboard does not reach {missed}");
}

#[test]
fn pages_are_sound_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start(folder.path()) else {
        eprintln!("skipped: chromium is not installed, pages are not opened in a browser");
        return;
    };
    let cloud = Cloud::start();
    let (_host, address) = busy_host(&cloud);
    let root = format!("http://{address}/");
    let overview = eventually("the failed bake is on the page", || {
        let page = exchange(address, "GET", "/", "");
        page.contains("no good image").then_some(page)
    });
    let command = overview.split("class=\"command\">").nth(1).and_then(|rest| rest.split('<').next()).unwrap_or("");
    assert!(
        command.starts_with("imagebaked --config ") && command.contains(" show "),
        "a problem has its command: {overview}"
    );
    let pages = [
        "",
        "schedule/win11-golden-with-a-long-name-of-the-department",
        "schedule/office",
        "schedule/offise",
        "bake/1",
        "bake/3",
        "bake/99",
        "history?state=failed",
        "history?state=foo&since=nonsense",
        "images",
        "nowhere/at/all",
    ];
    let (wrong, links) = audit(&mut browser, &root, &pages);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_links_answer(address, &links);
    assert_keys_reach_all(&mut browser, &root);
}

#[test]
fn pages_of_hundreds_of_schedules_are_sound_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let Some(mut browser) = Browser::start(folder.path()) else {
        eprintln!("skipped: chromium is not installed, pages are not opened in a browser");
        return;
    };
    let cloud = Cloud::start();
    let (_host, address) = crowded_host(&cloud);
    eventually("the nights are drawn, and the failed bake is on the page", || {
        let page = exchange(address, "GET", "/", "");
        (page.contains("each column: the slots of") && page.contains("no good image")).then_some(())
    });
    let root = format!("http://{address}/");
    let long = format!("schedule/{}", "n".repeat(64));
    let (wrong, links) = audit(&mut browser, &root, &["", "?page=6", "?q=farm-01", &long, "images"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let some: BTreeSet<String> = links.into_iter().step_by(7).collect();
    assert_links_answer(address, &some);
}
