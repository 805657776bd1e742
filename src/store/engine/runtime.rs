//! The runtime on which every database call runs.

use std::io;
use tokio::runtime::{Builder, Handle, Runtime};

/// Threads of the store runtime. They only wait for databases.
const STORE_THREADS: usize = 2;

/// The runtime on which every database call runs. The daemon drops it last. What still runs on it
/// then is dropped, too.
#[derive(Debug)]
pub struct StoreRuntime {
    handle: Handle,
    /// `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl StoreRuntime {
    /// Starts its threads.
    ///
    /// # Errors
    /// If the system cannot start threads.
    pub fn start() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(STORE_THREADS).thread_name("store").enable_all();
        let runtime = builder.build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// A handle by which others run work on it.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

impl Drop for StoreRuntime {
    /// Does not wait for running calls: it may be dropped inside another runtime, which must not
    /// block.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
