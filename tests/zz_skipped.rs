//! The end of `cargo test`: which tests this machine could not run. Its name makes it the last
//! program that cargo starts. It is no test itself and never fails.

#![allow(dead_code, reason = "the tests use the rest")]
#![expect(unreachable_pub, reason = "a program has no outside")]
#![expect(clippy::expect_used, clippy::print_stdout, reason = "it tells what it finds, or fails")]

#[path = "it/support/skipped.rs"]
mod skipped;

fn main() {
    // Programs that run tests by themselves ask for a list of them first: there are none.
    if !std::env::args().any(|it| it == "--list") {
        println!("\n{}\n", skipped::told(std::os::unix::process::parent_id()));
    }
}
