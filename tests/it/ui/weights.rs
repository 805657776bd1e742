//! What pages weigh whose lists are full.

use super::{WIRE_BYTES_MAX, figures, files_of, packed_bytes, page, tags};
use crate::support::fixture::Fixture;

/// Leads, messages and ended jobs. Of drafts, sends and webhooks in quarantine there are fewer, and
/// still more than a page has rows.
const ROWS: i64 = 5_000;
/// The lists, with the rows that a page has if its address names no limit.
const LISTS: [(&str, usize); 9] = [
    ("/inbox", 50),
    ("/inbox?view=all", 50),
    ("/jobs", 40),
    ("/jobs?status=failed", 40),
    ("/received", 50),
    // Groups, and webhooks one by one.
    ("/received?tab=quarantine", 10 + 40),
    ("/deliveries", 40),
    ("/clients", 40),
    ("/audit", 40),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_full_lists_are_light() {
    let db = Fixture::sqlite().await;
    let daemon = figures::start(&db, ROWS).await;
    let mut files_bytes = 0;
    for file in files_of(&page(&daemon, "/").await.html) {
        files_bytes += packed_bytes(&daemon, &file).await;
    }
    let pages = figures::pages(ROWS);
    for (list, _) in LISTS {
        assert!(pages.iter().any(|it| it == list), "{list} is none of the pages");
    }
    for path in pages {
        // The bytes of its HTML are checked with each page.
        let shown = page(&daemon, &path).await;
        assert_eq!(shown.status, 200, "{path}");
        if let Some((_, count)) = LISTS.iter().find(|it| it.0 == path) {
            let rows = tags(&shown.html)
                .iter()
                .filter(|it| it.attributes.contains_key("data-row"))
                .count();
            assert_eq!(rows, *count, "{path}");
        }
        let bytes = files_bytes + packed_bytes(&daemon, &path).await;
        assert!(bytes <= WIRE_BYTES_MAX, "{path}: {bytes} bytes over the wire");
    }
}
