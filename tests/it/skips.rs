//! A test that is skipped is seen as skipped.

use crate::support::skipped::{own_id, skip, told};
use std::{env, process::Command};

#[test]
#[ignore = "skips itself when the next test runs it, and is no test"]
fn no_test() {
    skip("the moon is not full");
}

#[test]
fn a_test_that_is_skipped_is_counted_and_named_once_the_tests_have_run() {
    let run = |test: &str, threads: &str| {
        let own = env::current_exe().unwrap();
        let args = [test, "--exact", "--ignored", "--test-threads", threads];
        let output = Command::new(own).args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(told(own_id()), "skipped: no test");
    for _ in 0..2 {
        let shown = run("skips::no_test", "2");
        assert_eq!(shown, "test skips::no_test ... skipped: the moon is not full\n");
    }
    let expected = "skipped: 1 test, because the moon is not full: skips::no_test";
    assert_eq!(told(own_id()), expected, "twice in one run, and one test");
    assert_eq!(told(own_id()), "skipped: no test", "what was told is not told again");
    // One at a time they run on the main thread, which has another name: then the place is told.
    run("skips::no_test", "1");
    let told = told(own_id());
    assert!(told.starts_with("skipped: 1 test, because the moon is not full: "), "{told}");
    assert!(told.contains("skips"), "{told}");
}
