//! Everything Postroom can receive and everything it can do. Adding one is one line here.

use crate::{
    channels::{self, AnyChannel, Channel},
    config::{Config, ConfigErrors},
    domain::{ChannelDirectory, ChannelFacts, ChannelName, JobKind},
    handlers::{self, Deps, JobHandler, post_process::PostProcess},
    http::Vocabulary,
    supervisor::KindEntry,
};
use std::sync::Arc;

/// The channels and the job kinds of a daemon.
#[derive(Clone, Default)]
pub struct Registry {
    /// What can be received.
    pub channels: Vec<Arc<dyn AnyChannel>>,
    /// What can be done.
    pub kinds: Vec<KindEntry>,
}

/// What this version of Postroom can receive and do.
pub fn postroom() -> Registry {
    Registry::default()
        .channel(channels::email::Email)
        .channel(channels::sms::Sms)
        .channel(channels::linkedin::Linkedin)
        .channel(channels::smartlead::Smartlead)
        .channel(channels::instantly::Instantly)
        .kind(handlers::lead_scoring::LeadScoring::new)
        .kind(handlers::auto_send_delayed::AutoSendDelayed::new)
        .kind(handlers::deliver_reply::DeliverReply::new)
        .kind(|_| handlers::self_check::SelfCheck)
}

impl Registry {
    /// Adds a channel: it brings its webhook path, its ingest actor, and its post-process kind.
    #[must_use]
    pub fn channel<C: Channel>(mut self, channel: C) -> Self {
        self.channels.push(Arc::new(channel));
        self.kind(PostProcess::<C>::new)
    }

    /// Adds a job kind: it brings its pool. `make` makes the handler of each slot.
    #[must_use]
    pub fn kind<H: JobHandler>(
        mut self,
        make: impl Fn(&Deps) -> H + Send + Sync + 'static,
    ) -> Self {
        self.kinds.push(KindEntry::of(make));
        self
    }

    /// What the parts that know no channel must know about these.
    pub fn channel_directory(&self) -> ChannelDirectory {
        ChannelDirectory::new(self.channels.iter().map(|channel| channel.facts()))
    }

    /// The names of all kinds.
    pub fn kind_names(&self) -> Vec<JobKind> {
        self.kinds.iter().map(|it| it.kind).collect()
    }

    /// The names that the document of the API shows.
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary {
            channels: self.channels.iter().map(|it| it.name().0).collect(),
            kinds: self.kinds.iter().map(|it| it.kind.0).collect(),
        }
    }

    /// The first kind that was added twice, if there is one: the daemon refuses to start with it.
    pub fn twice(&self) -> Option<JobKind> {
        let names = self.kind_names();
        (0..names.len()).find_map(|at| {
            let kind = *names.get(at)?;
            names.iter().skip(at + 1).any(|it| *it == kind).then_some(kind)
        })
    }

    /// Checks that a configuration names only kinds and channels that are in these lists, and has
    /// for each channel the settings that it needs, and none that only others have.
    ///
    /// # Errors
    /// Names each that is not known, with the nearest that is, and each setting.
    pub fn check(&self, config: &Config) -> Result<(), ConfigErrors> {
        config.check_kinds(&self.kind_names())?;
        let facts: Vec<ChannelFacts> = self.channels.iter().map(|it| it.facts()).collect();
        config.check_channels(&facts)
    }

    /// The names of all channels.
    pub fn channel_names(&self) -> Vec<ChannelName> {
        self.channels.iter().map(|it| it.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does nothing, and is of no kind of Postroom's.
    struct Fax;

    impl JobHandler for Fax {
        const KIND: JobKind = JobKind("READ_A_FAX");

        async fn handle(&self, _: &crate::domain::Job) -> crate::domain::Outcome {
            crate::domain::Outcome::Done(Vec::new())
        }
    }

    #[test]
    fn a_configuration_is_checked_against_the_lists_that_are_given() {
        let env = vec![("POSTROOM__POOLS__READ_A_FAX__SIZE".to_owned(), "2".to_owned())];
        let config = Config::load(&crate::config::Sources { env, ..Default::default() }).unwrap();
        assert!(postroom().kind(|_| Fax).check(&config).is_ok());
        let refused = postroom().check(&config).unwrap_err().to_string();
        assert!(refused.contains("READ_A_FAX"), "{refused}");
    }

    #[test]
    fn no_kind_is_registered_twice() {
        assert_eq!(postroom().twice(), None);
        let again = postroom().kind(|_| handlers::self_check::SelfCheck);
        assert_eq!(again.twice(), Some(crate::domain::job::SELF_CHECK));
    }
}
