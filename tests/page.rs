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
/// Everything that the keyboard must reach.
const REACHABLE: &str = "a[href], button, input, select, summary, [tabindex='0']";

/// A daemon with a good schedule, one that fails, one that waits for its slot, and one of several instances.
fn busy_host(cloud: &Cloud) -> (Host, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut host = Host::new(
        cloud.addr,
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
    let path = host.path("imagebaked.toml");
    let text = std::fs::read_to_string(&path).unwrap().replace("listen = \"\"", &format!("listen = \"{address}\""));
    std::fs::write(&path, text).unwrap();
    cloud.add_faults(
        "[[fault]]\naction = \"CreateImageByInstance\"\ninstance_id = \"ecd-broken\"\nnth = 1\n\
         code = \"Instance.ImageUnsupported\"\nstatus = 400\n",
    );
    host.start();
    for schedule in
        ["win11-golden-with-a-long-name-of-the-department", "win11-golden-with-a-long-name-of-the-department"]
    {
        host.bake(schedule);
    }
    host.expect(1, &["bake", "broken", "--wait"]);
    host.expect(0, &["bake", "office", "--wait"]);
    (host, address)
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
    assert!(overview.contains("imagebaked show"), "a problem has its command: {overview}");

    let mut links = BTreeSet::new();
    let mut wrong = Vec::new();
    let pages = [
        "",
        "schedule/win11-golden-with-a-long-name-of-the-department",
        "schedule/office",
        "bake/1",
        "bake/3",
        "history?state=failed",
        "images",
        "nowhere/at/all",
    ];
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
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for link in &links {
        let path = link.strip_prefix(root.trim_end_matches('/')).unwrap_or_else(|| panic!("{link} leads elsewhere"));
        let answer = exchange(address, "GET", path, "");
        let code = answer.split(' ').nth(1).unwrap();
        // A probe for alerts answers as the problems are, and a page that does not exist leads to its own content.
        let is_meant = path == "/healthz" && code == "503" || path == "/nowhere/at/all" && code == "404";
        assert!(code == "200" || is_meant, "{path}: {code}");
    }
    assert!(links.len() > 10, "{links:?}");

    browser.set_view(1280, false);
    browser.open(&root);
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
