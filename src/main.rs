//! The binary. All that it does is in the library, where tests reach it.

use std::process::ExitCode;

/// The system's allocator is a tenth of a webhook's time; this one is made for many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    postroom::cli::run(std::env::args_os())
}
