//! How the fake provider fails.

use super::http::FakeAnswer;
use serde_json::json;
use std::str::FromStr;

/// A way to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not take the answer, and says this status, with `Retry-After` if seconds are given.
    Refuse {
        /// The status: 400 to 599.
        status: u16,
        /// The seconds of `Retry-After`.
        retry_after: Option<u32>,
    },
    /// It takes the answer, and never says so.
    Hang,
    /// It takes the answer, and closes without a word.
    Close,
    /// It takes the answer, and resets the connection before the first byte of its own.
    Reset,
    /// It takes the answer, and resets the connection after the first byte of its own.
    ResetAfterFirstByte,
    /// It takes the answer, and says so in a way that nobody can read.
    Unreadable,
}

impl Fault {
    /// The answer of a provider that does not take what was sent.
    pub(super) fn refusal(&self) -> Option<FakeAnswer> {
        let Self::Refuse { status, retry_after } = self else { return None };
        let word = match status {
            401 => "errors/expired_credentials",
            403 => "errors/account_restricted",
            422 => "errors/invalid_parameters",
            429 => "errors/too_many_requests",
            _ => "errors/unexpected_error",
        };
        let answer = FakeAnswer::json(*status, &json!({"status": status, "type": word}));
        Some(match retry_after {
            Some(seconds) => answer.with("retry-after", seconds.to_string()),
            None => answer,
        })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, seconds) = text.split_once(':').map_or((text, None), |(w, s)| (w, Some(s)));
        let retry_after = seconds.map(str::parse::<u32>).transpose();
        let fault = match (word, word.parse::<u16>(), retry_after) {
            (_, Ok(status @ 400..=599), Ok(retry_after)) => Self::Refuse { status, retry_after },
            ("hang", _, Ok(None)) => Self::Hang,
            ("close", _, Ok(None)) => Self::Close,
            ("reset", _, Ok(None)) => Self::Reset,
            ("reset-after", _, Ok(None)) => Self::ResetAfterFirstByte,
            ("unreadable", _, Ok(None)) => Self::Unreadable,
            _ => {
                return Err(format!(
                    "`{text}` is no fault: expected a status (`401`, `500`), one with seconds for \
                     Retry-After (`429:30`), `hang`, `close`, `reset`, `reset-after` or \
                     `unreadable`"
                ));
            }
        };
        Ok(fault)
    }
}

/// A fault, for whom, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultRule {
    channel: Option<String>,
    fault: Fault,
    /// How often it is left to happen; `None` for ever.
    left: Option<u32>,
}

impl FaultRule {
    /// The fault, if the rule is for this channel and not used up. Counts.
    pub(super) fn applies_to(&mut self, channel: &str) -> Option<Fault> {
        if self.channel.as_deref().is_some_and(|it| it != channel) || !self.is_left() {
            return None;
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        Some(self.fault.clone())
    }

    /// True until the rule is used up.
    pub(super) fn is_left(&self) -> bool {
        self.left != Some(0)
    }
}

impl FromStr for FaultRule {
    type Err = String;

    /// Reads `[CHANNEL/]FAULT[*TIMES]`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (text, times) = match text.rsplit_once('*') {
            Some((rest, times)) => (rest, Some(times)),
            None => (text, None),
        };
        let left = times.map(str::parse::<u32>).transpose();
        let left = left.map_err(|_| "expected a number behind `*`".to_owned())?;
        let (channel, fault) = match text.split_once('/') {
            Some((channel, fault)) => (Some(channel), fault),
            None => (None, text),
        };
        if let Some(channel) = channel
            && !super::providers::CHANNELS.contains(&channel)
        {
            return Err(format!(
                "`{channel}` is no channel: expected one of `{}`",
                super::providers::CHANNELS.join("`, `")
            ));
        }
        Ok(Self { channel: channel.map(str::to_owned), fault: fault.parse()?, left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_a_fault_and_perhaps_a_channel_and_a_count() {
        let rule = |channel: Option<&str>, fault, left| FaultRule {
            channel: channel.map(str::to_owned),
            fault,
            left,
        };
        let refuse = |status, retry_after| Fault::Refuse { status, retry_after };
        for (text, expected) in [
            ("401", rule(None, refuse(401, None), None)),
            ("sms/429:30*2", rule(Some("sms"), refuse(429, Some(30)), Some(2))),
            ("hang", rule(None, Fault::Hang, None)),
            ("email/reset*1", rule(Some("email"), Fault::Reset, Some(1))),
            ("reset-after", rule(None, Fault::ResetAfterFirstByte, None)),
            ("unreadable", rule(None, Fault::Unreadable, None)),
            ("close", rule(None, Fault::Close, None)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "200", "600", "429:x", "hang:3", "fax/401", "401*x", "sms/", "nonsense"] {
            assert!(text.parse::<FaultRule>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rule_is_used_up() {
        let mut rule: FaultRule = "sms/401*1".parse().expect("a rule");
        assert_eq!(rule.applies_to("email"), None);
        assert!(rule.applies_to("sms").is_some() && !rule.is_left());
        assert_eq!(rule.applies_to("sms"), None);
    }
}
