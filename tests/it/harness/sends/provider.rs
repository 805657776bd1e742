//! The provider of the rounds, in the test's own process.

use postroom::fake_provider::FakeProvider;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::task::JoinSet;

/// What happens when the provider takes an answer.
type Trap = Box<dyn FnOnce() + Send>;

/// A provider in this process, with a trap for the nth answer from now.
pub struct Provider {
    pub fake: FakeProvider,
    pub url: String,
    trap: Arc<Mutex<Option<(u64, Trap)>>>,
    /// Serves until it is dropped.
    _serving: JoinSet<()>,
}

impl Provider {
    pub async fn start() -> Self {
        let trap: Arc<Mutex<Option<(u64, Trap)>>> = Arc::default();
        let of_fake = trap.clone();
        let fake = FakeProvider::telling(Box::new(move |_| {
            let mut trap = of_fake.lock().unwrap();
            if let Some((left, _)) = trap.as_mut() {
                *left -= 1;
                if *left == 0
                    && let Some((_, spring)) = trap.take()
                {
                    spring();
                }
            }
        }));
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (address, serving) = fake.clone().listen(any).await.unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { serving.await.expect("it serves to the end") });
        Self { fake, url: format!("http://{address}"), trap, _serving: tasks }
    }

    /// `spring` is called when it has taken that many answers more, before it says so of the last.
    pub fn set_trap(&self, answers: u64, spring: impl FnOnce() + Send + 'static) {
        *self.trap.lock().unwrap() = Some((answers, Box::new(spring)));
    }

    /// Takes the trap away.
    pub fn take_trap(&self) {
        *self.trap.lock().unwrap() = None;
    }

    /// True if there is no trap any more.
    pub fn is_sprung(&self) -> bool {
        self.trap.lock().unwrap().is_none()
    }
}
