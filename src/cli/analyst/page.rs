//! The test that keeps `docs/UNDERSTANDING.md` true: what stands below its mark is what the `local`
//! analyst says about the replies that were kept apart.

use super::{all, files_in, judged};
use crate::analyst::{Local, understanding::Understanding};
use std::{env, fs, path::Path};

const MARK: &str = "<!-- From here on the page is made by measuring. -->\n";
/// Set it to write the page instead of comparing it.
const WRITE: &str = "POSTROOM_WRITE_PAGES";

#[test]
fn the_page_of_understanding_says_what_is_measured() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let measured = |set: &str, least: usize| {
        let files = files_in(&root.join("tests/replies").join(set)).unwrap_or_default();
        let replies = all(&files).unwrap_or_default();
        assert!(replies.len() >= least, "{set}: {} replies are there", replies.len());
        let Ok(judged) = judged(&Local, replies) else { panic!("no verdicts") };
        Understanding::of(&judged).page()
    };
    let (apart, later) = (measured("apart", 1_500), measured("later", 400));
    let made = format!("## The set `apart`\n\n{apart}\n## The set `later`\n\n{later}");
    let path = root.join("docs/UNDERSTANDING.md");
    let page = fs::read_to_string(&path).expect("the page is there");
    let (by_hand, below) = page.split_once(MARK).expect("the page has its mark");
    if env::var_os(WRITE).is_some() {
        fs::write(&path, format!("{by_hand}{MARK}\n{made}")).expect("the page can be written");
    } else {
        assert!(
            below == format!("\n{made}"),
            "docs/UNDERSTANDING.md is not what is measured: run `{WRITE}=1 cargo test --lib cli::analyst`"
        );
    }
}
