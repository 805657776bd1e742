//! The section `[analyst]`: who judges messages, and how a model is reached.

use super::{
    reader::{SectionReader, Typed, from_text},
    sections::{MILLISECOND, MINUTE, has_userinfo},
    strength::{blank_or_masked, unsendable},
    value::Secret,
};
use std::time::Duration;

/// What classifies messages, scores leads and drafts answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnalystProvider {
    /// The rules in this process.
    #[default]
    Local,
    /// A model behind the `OpenAI` protocol.
    Openai,
}

/// Who answers where a model has no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnalystFallback {
    /// Nobody: the attempt has failed.
    #[default]
    None,
    /// The rules in this process.
    Local,
}

/// `[analyst]`. All keys but `provider` are for a model.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalystConfig {
    /// The analyst to ask.
    pub provider: AnalystProvider,
    /// Who answers where the model has no answer.
    pub fallback: AnalystFallback,
    /// The URL of the model's server: https, or http to this machine. `Some` if `provider` is a
    /// model.
    pub base_url: Option<Secret>,
    /// The name of the model.
    pub model: String,
    /// The key that the model's server wants.
    pub api_key: Option<Secret>,
    /// How long one request to the model may take.
    pub timeout: Duration,
    /// The most requests to the model at the same time.
    pub max_concurrent: usize,
}

from_text!(AnalystProvider, "`\"local\"` or `\"openai\"`", |text| match text {
    "local" => Some(Self::Local),
    "openai" => Some(Self::Openai),
    _ => None,
});
from_text!(AnalystFallback, "`\"none\"` or `\"local\"`", |text| match text {
    "none" => Some(Self::None),
    "local" => Some(Self::Local),
    _ => None,
});
pub(super) fn analyst(section: &SectionReader<'_>) -> AnalystConfig {
    let provider = section.get("provider");
    let base_url: Option<Secret> = section.get("base_url");
    if base_url.as_ref().is_some_and(|url| !is_model_url(url.expose())) {
        section.error(
            "base_url",
            "`analyst.base_url`: expected a URL such as `https://api.openai.com/v1`, or one with `http` \
             of this machine, without `?` and `#`"
                .into(),
        );
    }
    let model: String = section.get("model");
    let api_key: Option<Secret> = section.get("api_key");
    let flaw = api_key
        .as_ref()
        .and_then(|key| blank_or_masked(key.expose()).or_else(|| unsendable(key.expose())));
    if let Some(reason) = flaw {
        section.error("api_key", format!("`{}` {reason}", section.key("api_key")));
    }
    if provider == AnalystProvider::Openai {
        let needs = |key| {
            let message =
                format!("`{}` is not set, and `analyst.provider` is a model", section.key(key));
            section.error(key, message);
        };
        if base_url.is_none() {
            needs("base_url");
        }
        if base_url.as_ref().is_some_and(|url| has_userinfo(url.expose())) {
            let message =
                "`analyst.base_url` holds a user or a password: put the key into `analyst.api_key`";
            section.error("base_url", message.to_owned());
        }
        if model.trim().is_empty() {
            needs("model");
        }
        if api_key.is_none() && base_url.as_ref().is_some_and(|url| is_openai(url.expose())) {
            needs("api_key");
        }
    }
    AnalystConfig {
        provider,
        fallback: section.get("fallback"),
        base_url,
        model,
        api_key,
        timeout: section.get_in("timeout", MILLISECOND..=10 * MINUTE),
        max_concurrent: section.get_in("max_concurrent", 1..=10_000),
    }
}

/// True for the URL of a model's server. What leads wrote and the key go there, so it is https, or
/// http to this machine.
fn is_model_url(text: &str) -> bool {
    let Ok(url) = url::Url::parse(text) else { return false };
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return false,
    };
    let is_plain_here = url.scheme() == "http" && is_here;
    (url.scheme() == "https" || is_plain_here) && url.query().is_none() && url.fragment().is_none()
}

/// True for the server of OpenAI itself, which lets nobody in without a key.
fn is_openai(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.host_str() == Some("api.openai.com"))
}
