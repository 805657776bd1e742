//! Measures an analyst on labelled replies.

use super::{Analyst, AnalystError, Classified, RuledMessage, replies::LabelledReply};
use crate::domain::{
    Conversation, InboundMessage, LeadStatus, LeadView, Medium, Sentiment, Timestamp,
    conversation::Line, event::Direction,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _};

/// The confidences from which on it is told how many verdicts are right.
const CONFIDENCES: [f32; 5] = [0.5, 0.6, 0.7, 0.8, 0.9];
/// How much of a text is shown, in characters.
const SHOWN_CHARS: usize = 160;

/// A labelled reply, and what an analyst says that it says.
#[derive(Clone, Debug)]
pub struct JudgedReply {
    /// The reply, with the tag that a person gave.
    pub reply: LabelledReply,
    /// The analyst's answer.
    pub classified: Classified,
}

impl JudgedReply {
    fn is_right(&self) -> bool {
        self.reply.tag == self.classified.tag
    }
}

/// By what replies are counted together.
type KeyOfReply = fn(&JudgedReply) -> &str;

/// The analyst's answers to all `replies`, each with the medium that it came over.
///
/// # Errors
/// The analyst's first error.
pub async fn judge(
    analyst: &dyn Analyst,
    replies: Vec<(LabelledReply, Medium)>,
) -> Result<Vec<JudgedReply>, AnalystError> {
    let mut judged = Vec::with_capacity(replies.len());
    for (reply, medium) in replies {
        let message = conversation(&reply);
        let classified = analyst.classify(&RuledMessage::new(&message, medium)).await?.classified;
        judged.push(JudgedReply { reply, classified });
    }
    Ok(judged)
}

/// A conversation that is only this reply. The provider does not say whether a machine wrote it:
/// the analyst has to see that.
fn conversation(reply: &LabelledReply) -> Conversation {
    let sent_at = Timestamp::from_millis(0);
    let line = Line {
        at: sent_at,
        channel: reply.channel.clone(),
        direction: Direction::Inbound,
        subject: reply.subject.clone(),
        body: reply.text.clone(),
    };
    let message = InboundMessage {
        id: 1,
        channel: reply.channel.clone(),
        direction: Direction::Inbound,
        subject: reply.subject.clone(),
        body: reply.text.clone(),
        has_new_text: true,
        automated: false,
        sentiment: None,
        sent_at,
        can_be_answered: true,
        reaches_others: false,
    };
    let lead = LeadView {
        id: 1,
        status: LeadStatus::New,
        sentiment: None,
        first_name: None,
        last_name: None,
        company_name: None,
        title: None,
        opted_out: false,
        bounced: false,
        sms_dnd: false,
        has_inbound: true,
        newest_inbound_id: Some(1),
    };
    Conversation { message, lead, transcript: vec![line] }
}

/// How many of some verdicts are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All verdicts.
    pub all: usize,
    /// Those that are right.
    pub right: usize,
}

impl Count {
    fn of<'a>(judged: impl IntoIterator<Item = &'a JudgedReply>) -> Self {
        judged.into_iter().fold(Self::default(), |count, it| Self {
            all: count.all + 1,
            right: count.right + usize::from(it.is_right()),
        })
    }

    /// The share that is right, in percent: one digit behind the point.
    fn percent(self) -> String {
        percent(self.right, self.all)
    }
}

fn percent(part: usize, all: usize) -> String {
    if all == 0 {
        return "-".to_owned();
    }
    let tenths = (part * 1_000 + all / 2) / all;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Understanding<'a> {
    judged: &'a [JudgedReply],
}

impl<'a> Understanding<'a> {
    /// Measures these verdicts.
    pub const fn of(judged: &'a [JudgedReply]) -> Self {
        Self { judged }
    }

    /// How many tags are right, of all replies and of those about which people agree.
    pub fn tags(&self) -> (Count, Count) {
        (Count::of(self.judged), Count::of(self.judged.iter().filter(|it| it.reply.clear)))
    }

    /// `(opt-outs, those that are found, what is wrongly called one)`.
    pub fn opt_outs(&self) -> (usize, usize, usize) {
        let count = |is: fn(&&JudgedReply) -> bool| self.judged.iter().filter(is).count();
        (
            count(|it| it.reply.opt_out),
            count(|it| it.reply.opt_out && it.classified.opts_out),
            count(|it| !it.reply.opt_out && it.classified.opts_out),
        )
    }

    fn by(&self, key: fn(&JudgedReply) -> &str) -> BTreeMap<&'a str, Vec<&'a JudgedReply>> {
        let mut groups: BTreeMap<&str, Vec<&JudgedReply>> = BTreeMap::new();
        for it in self.judged {
            groups.entry(key(it)).or_default().push(it);
        }
        groups
    }

    /// The page for people: Markdown, with the wrong verdicts at its end.
    pub fn page(&self) -> String {
        let mut page = String::new();
        self.write(&mut page).ok();
        page
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        // Totals
        let (all, clear) = self.tags();
        writeln!(page, "| replies | tags right |\n|---|---|")?;
        writeln!(page, "| all {} | {} |", all.all, all.percent())?;
        writeln!(page, "| clear ones {} | {} |", clear.all, clear.percent())?;
        let (opt_outs, found, wrong) = self.opt_outs();
        let has_tag = |it: &&JudgedReply| it.reply.opt_out && it.classified.tag.gets_draft();
        let drafts = |it: &&JudgedReply| has_tag(it) && !it.classified.may_opt_out;
        let positive = self.judged.iter().filter(has_tag).count();
        let drafted = self.judged.iter().filter(drafts).count();
        let tagged =
            |it: &&JudgedReply| it.reply.opt_out && it.classified.tag == Sentiment::Blacklist;
        let blacklisted = self.judged.iter().filter(tagged).count();
        writeln!(page, "\n| opt-outs | |\n|---|---|\n| there are | {opt_outs} |")?;
        writeln!(page, "| found (recall) | {} |", percent(found, opt_outs))?;
        writeln!(page, "| are one (precision) | {} |", percent(found, found + wrong))?;
        writeln!(page, "| get the tag Blacklist | {} |", percent(blacklisted, opt_outs))?;
        writeln!(page, "| get a tag for which answers are drafted | {positive} |")?;
        writeln!(page, "| get an answer drafted | {drafted} |")?;

        // Groups
        let groups: [(&str, KeyOfReply); 2] = [
            ("language", |it| it.reply.lang.as_str()),
            ("channel", |it| it.reply.channel.as_str()),
        ];
        for (name, key) in groups {
            writeln!(page, "\n| {name} | replies | right | clear ones right |\n|---|---|---|---|")?;
            for (value, group) in self.by(key) {
                let all = Count::of(group.iter().copied());
                let clear = Count::of(group.iter().copied().filter(|it| it.reply.clear));
                let (of_all, of_clear) = (all.percent(), clear.percent());
                writeln!(page, "| {value} | {} | {of_all} | {of_clear} |", all.all)?;
            }
        }

        // Confidence
        writeln!(page, "\n| confidence at least | of all | right |\n|---|---|---|")?;
        for least in CONFIDENCES {
            let sure = Count::of(self.judged.iter().filter(|it| it.classified.confidence >= least));
            let share = percent(sure.all, all.all);
            writeln!(page, "| {least} | {share} | {} |", sure.percent())?;
        }

        // Confusion
        writeln!(page, "\nRows: the tag that a person gave. Columns: the analyst's.\n")?;
        let name = |tag: Sentiment| tag.as_str();
        let heads: Vec<&str> = Sentiment::ALL.into_iter().map(name).collect();
        writeln!(page, "| | {} | found |", heads.join(" | "))?;
        writeln!(page, "|---|{}", "---|".repeat(heads.len() + 1))?;
        for row in Sentiment::ALL {
            let of_row: Vec<&JudgedReply> =
                self.judged.iter().filter(|it| it.reply.tag == row).collect();
            let cells = Sentiment::ALL.map(|column| {
                let count = of_row.iter().filter(|it| it.classified.tag == column).count();
                if count == 0 { String::new() } else { count.to_string() }
            });
            let found = Count::of(of_row).percent();
            writeln!(page, "| **{}** | {} | {found} |", name(row), cells.join(" | "))?;
        }

        // Errors
        let wrong: Vec<&JudgedReply> = self.judged.iter().filter(|it| !it.is_right()).collect();
        writeln!(page, "\n{} wrong verdicts:\n", wrong.len())?;
        for JudgedReply { reply, classified } in wrong {
            let text: String = reply.text.replace('\n', " / ").chars().take(SHOWN_CHARS).collect();
            let unclear = if reply.clear { "" } else { ", unclear" };
            writeln!(
                page,
                "- {} → {} ({:.2}; {}, {}{unclear}): `{}`",
                name(reply.tag),
                name(classified.tag),
                classified.confidence,
                reply.lang,
                reply.channel,
                text.replace('`', "'"),
            )?;
        }
        Ok(())
    }

    /// The same for machines.
    pub fn document(&self) -> Value {
        let count = |it: Count| json!({"replies": it.all, "right": it.right});
        let (all, clear) = self.tags();
        let (opt_outs, found, wrong) = self.opt_outs();
        let by = |key: fn(&JudgedReply) -> &str| -> Value {
            let groups = self.by(key).into_iter();
            groups.map(|(name, group)| (name.to_owned(), count(Count::of(group)))).collect()
        };
        let confusion: Value = Sentiment::ALL
            .into_iter()
            .map(|row| {
                let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
                for it in self.judged.iter().filter(|it| it.reply.tag == row) {
                    *counts.entry(it.classified.tag.as_str()).or_default() += 1;
                }
                (row.as_str().to_owned(), json!(counts))
            })
            .collect();
        let errors: Vec<Value> = self
            .judged
            .iter()
            .filter(|it| !it.is_right())
            .map(|JudgedReply { reply, classified }| {
                json!({
                    "text": reply.text,
                    "lang": reply.lang,
                    "channel": reply.channel,
                    "tag": reply.tag.as_str(),
                    "found": classified.tag.as_str(),
                    "confidence": f64::from(classified.confidence),
                })
            })
            .collect();
        json!({
            "all": count(all),
            "clear": count(clear),
            "opt_outs": {"all": opt_outs, "found": found, "wrong": wrong},
            "languages": by(|it| it.reply.lang.as_str()),
            "channels": by(|it| it.reply.channel.as_str()),
            "confusion": confusion,
            "errors": errors,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyst::{Local, replies};
    use futures_util::FutureExt;

    fn judged(lines: &str) -> Vec<JudgedReply> {
        let replies = replies::read(lines).expect("labelled replies");
        let replies = replies.into_iter().map(|it| (it, Medium::Mail)).collect();
        judge(&Local, replies).now_or_never().expect("no wait").expect("verdicts")
    }

    #[test]
    fn right_and_wrong_verdicts_are_counted() {
        let judged = judged(concat!(
            r#"{"text":"Please unsubscribe me","tag":"Blacklist","opt_out":true,"lang":"en","channel":"email"}"#,
            "\n",
            r#"{"text":"Unsubscribe","tag":"Neutral","lang":"de","channel":"email","clear":false}"#,
        ));
        let it = Understanding::of(&judged);
        let (all, clear) = it.tags();
        assert_eq!((all, clear), (Count { all: 2, right: 1 }, Count { all: 1, right: 1 }));
        assert_eq!(it.opt_outs(), (1, 1, 1));
        let page = it.page();
        assert!(page.contains("| all 2 | 50.0 % |"), "{page}");
        assert!(page.contains("| are one (precision) | 50.0 % |"), "{page}");
        assert!(page.contains("- Neutral → Blacklist (0.97; de, email, unclear): `Unsubscribe`"));
        assert_eq!(it.document()["languages"]["de"]["right"], 0);
        assert_eq!(it.document()["confusion"]["Neutral"]["Blacklist"], 1);
    }
}
