//! The binary. It only calls the library, where tests reach all of it.

use std::process::ExitCode;

/// The system's allocator takes a tenth of a webhook's time; this one is made for many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    postroom::cli::run(std::env::args_os())
}
