//! Who is told of what transactions have done to sends.

use crate::domain::SendNews;
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// Called with each piece of news after the commit that made it true.
pub type OnSendNews = Box<dyn Fn(&SendNews) + Send + Sync>;

/// The one listener, once there is one. A clone shares it.
#[derive(Clone, Default)]
pub(in crate::store) struct NewsListener(Arc<OnceLock<OnSendNews>>);

impl fmt::Debug for NewsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewsListener")
    }
}

impl NewsListener {
    /// Tells `listener` from now on. A second one is not heard.
    pub(in crate::store) fn set(&self, listener: OnSendNews) {
        drop(self.0.set(listener));
    }

    /// Tells it.
    pub(super) fn tell(&self, news: &[SendNews]) {
        if let Some(listener) = self.0.get() {
            news.iter().for_each(listener);
        }
    }
}
