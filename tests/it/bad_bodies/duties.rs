//! The required fields of each event, written down a second time and independently of the channels:
//! which bodies may be refused (docs/RULES.md), and with which reason. No other body may be.

use postroom::channels::fields::{self, email_address, flag, has_robots_name, raw, word};
use serde_json::Value;

/// `(channel, event, path)`: the required fields of an ordinary event of that name.
pub const REQUIRED: &[(&str, &str, &str)] = &[
    ("email", "LEAD_REPLIED", "data"),
    ("email", "LEAD_REPLIED", "data.reply.id"),
    ("email", "LEAD_INTERESTED", "data.reply.id"),
    ("email", "UNTRACKED_REPLY_RECEIVED", "data.reply.id"),
    ("email", "UNTRACKED_REPLY_RECEIVED", "data.reply.from_email_address"),
    ("email", "MANUAL_EMAIL_SENT", "data.reply.id"),
    ("email", "EMAIL_BOUNCED", "data.lead.email"),
    ("email", "EMAIL_SENT", "data.scheduled_email.id"),
    ("email", "EMAIL_SENT", "data.lead.email"),
    ("email", "LEAD_UNSUBSCRIBED", "data.lead.email"),
    ("sms", "workflow", "contact_id"),
    ("sms", "workflow", "location.id"),
    ("sms", "InboundMessage", "locationId"),
    ("sms", "InboundMessage", "contactId"),
    ("sms", "OutboundMessage", "locationId"),
    ("sms", "OutboundMessage", "contactId"),
    ("sms", "ContactDndUpdate", "id"),
    ("linkedin", "message_received", "message_id"),
    ("linkedin", "message_received", "sender.attendee_provider_id"),
    ("linkedin", "message_edited", "message_id"),
    ("linkedin", "message_deleted", "message_id"),
    ("linkedin", "message_failed", "message_id"),
    ("linkedin", "new_relation", "user_provider_id"),
    ("smartlead", "EMAIL_REPLY", "campaign_id"),
    ("smartlead", "EMAIL_REPLY", "stats_id"),
    ("smartlead", "EMAIL_SENT", "campaign_id"),
    ("smartlead", "FIRST_EMAIL_SENT", "campaign_id"),
    ("smartlead", "EMAIL_BOUNCE", "to_email"),
    ("smartlead", "LEAD_UNSUBSCRIBED", "to_email"),
    ("instantly", "reply_received", "lead_email"),
    ("instantly", "email_sent", "lead_email"),
    ("instantly", "email_bounced", "lead_email"),
    ("instantly", "lead_unsubscribed", "lead_email"),
    ("instantly", "lead_interested", "lead_email"),
];

/// `body` must be quarantined for one of these reasons; empty if it need not be.
pub fn reasons(channel: &str, body: &Value) -> Vec<String> {
    duties(channel, body).0
}

/// The reasons for which it may be quarantined, depending on its texts.
pub fn possible(channel: &str, body: &Value) -> Vec<String> {
    duties(channel, body).1
}

fn duties(channel: &str, body: &Value) -> (Vec<String>, Vec<String>) {
    if !body.is_object() {
        return (vec!["not_an_object".to_owned()], Vec::new());
    }
    let mut duties = Duties { body, reasons: Vec::new(), possible: Vec::new() };
    match channel {
        "email" => duties.email(),
        "sms" => duties.sms(),
        "linkedin" => duties.linkedin(),
        "smartlead" => duties.smartlead(),
        "instantly" => duties.instantly(),
        other => panic!("nobody has said what {other} requires"),
    }
    (duties.reasons, duties.possible)
}

struct Duties<'a> {
    body: &'a Value,
    reasons: Vec<String>,
    possible: Vec<String>,
}

impl<'a> Duties<'a> {
    /// What is at a path; `None` if it counts as absent (P5).
    fn told(&self, path: &str) -> Option<&'a Value> {
        let blank = |it: char| it.is_whitespace() || it == '\0';
        match raw(self.body, path)? {
            Value::Null => None,
            Value::String(text) if matches!(text.trim_matches(blank), "" | "N/A") => None,
            Value::Object(map) if map.is_empty() => None,
            value => Some(value),
        }
    }

    /// The event's name, where one is told as a text.
    fn name(&mut self, paths: &[&str]) -> Option<&'a str> {
        let name = paths.iter().find_map(|path| self.told(path)?.as_str());
        if name.is_none() {
            self.unknown();
            self.reasons.push("unknown_shape".to_owned());
        }
        name.map(str::trim)
    }

    fn unknown(&mut self) {
        self.reasons.push("unknown_event".to_owned());
    }

    fn id(&mut self, path: &str) {
        match self.told(path) {
            None => self.reasons.push(format!("missing_field {path}")),
            Some(Value::String(_) | Value::Number(_)) if word(self.body, path).is_some() => {}
            Some(_) => self.reasons.push(format!("bad_field {path}")),
        }
    }

    fn object(&mut self, path: &str) {
        match self.told(path) {
            None => self.reasons.push(format!("missing_field {path}")),
            Some(Value::Object(_)) => {}
            Some(_) => self.reasons.push(format!("bad_field {path}")),
        }
    }

    fn address_at(&self, path: &str) -> Option<String> {
        let text = self.told(path)?.as_str()?.replace('\0', "");
        email_address(&text)
    }

    /// One of the paths must be an address; `path` is the one that is asked for.
    fn address(&mut self, paths: &[&str], path: &str) {
        if !paths.iter().any(|it| self.address_at(it).is_some()) {
            let is_text = self.told(path).is_none_or(Value::is_string);
            let word = if is_text { "missing_field" } else { "bad_field" };
            self.reasons.push(format!("{word} {path}"));
        }
    }

    fn email(&mut self) {
        const WRITER: &str = "data.reply.from_email_address";
        const REPLIES: [&str; 5] = [
            "LEAD_REPLIED",
            "LEAD_INTERESTED",
            "UNTRACKED_REPLY_RECEIVED",
            "MANUAL_EMAIL_SENT",
            "EMAIL_BOUNCED",
        ];
        let told = self.told("event.type").or_else(|| self.told("event"));
        let Some(name) = told.and_then(Value::as_str) else {
            self.name(&[]);
            return;
        };
        let name = name.trim().to_uppercase();
        let name = name.strip_prefix("CONTACT_").map_or(name.clone(), |it| format!("LEAD_{it}"));
        let name = name.as_str();
        match name {
            "EMAIL_SENT" | "LEAD_UNSUBSCRIBED" => {}
            "LEAD_FIRST_CONTACTED" | "EMAIL_OPENED" | "TAG_ATTACHED" | "TAG_REMOVED" => return,
            "EMAIL_SEND_FAILED" | "MANUAL_EMAIL_SEND_FAILED" => return,
            _ if REPLIES.contains(&name) => {}
            _ if name.starts_with("EMAIL_ACCOUNT_") || name.starts_with("WARMUP_DISABLED_") => {
                return;
            }
            _ => return self.unknown(),
        }
        self.object("data");
        if name == "EMAIL_SENT" {
            self.id("data.scheduled_email.id");
        }
        if !REPLIES.contains(&name) {
            return self.address(&["data.lead.email"], "data.lead.email");
        }
        let is = |path, value: &str| {
            word(self.body, path).is_some_and(|it: String| it.eq_ignore_ascii_case(value))
        };
        let writer = self.address_at(WRITER);
        let is_ours = writer.is_some() && writer == self.address_at("data.sender_email.email");
        let is_outbound = name == "MANUAL_EMAIL_SENT"
            || is("data.reply.type", "Outgoing Email")
            || is("data.reply.folder", "Sent")
            || is_ours;
        let is_bounce = is("data.reply.type", "Bounced") || is("data.reply.folder", "Bounced");
        let has_lead = self.told("data.lead").is_some_and(Value::is_object);
        let lead = self.address_at("data.lead.email");
        let has_robots = [&writer, &lead].into_iter().flatten().any(|it| has_robots_name(it));
        if name != "EMAIL_BOUNCED" && !is_outbound && has_robots {
            // Its subject, its flag, its headers and its text say whether a robot wrote it.
            self.id("data.reply.id");
            self.object("data.reply");
            self.address(&[WRITER], WRITER);
            self.address(&["data.lead.email"], "data.lead.email");
            self.possible.extend(self.reasons.drain(..).filter(|it| !it.ends_with(" data")));
            return self.object("data");
        }
        if name == "EMAIL_BOUNCED" || (!is_outbound && is_bounce && has_lead) {
            self.address(&["data.lead.email"], "data.lead.email");
        } else if is_outbound {
            self.id("data.reply.id");
        } else if is_bounce {
            self.object("data.reply");
        } else {
            self.id("data.reply.id");
            // Our own address is not a lead's.
            let ours = self.address_at("data.sender_email.email");
            let is_nobody = lead.is_none() || lead == ours;
            if name == "UNTRACKED_REPLY_RECEIVED" || is_nobody {
                self.address(&[WRITER], WRITER);
            }
        }
    }

    fn sms(&mut self) {
        let has = |name| raw(self.body, name).is_some();
        if has("workflow") || has("contact_id") {
            self.possible.push("unknown_text_field".to_owned());
            self.id("contact_id");
            return self.id("location.id");
        }
        let Some(Value::String(kind)) = self.told("type") else {
            return self.reasons.push("unknown_shape".to_owned());
        };
        match kind.trim() {
            "InboundMessage" | "OutboundMessage" => {
                let kind = word(self.body, "messageType").unwrap_or_default().to_uppercase();
                let kind = kind.strip_prefix("TYPE_").unwrap_or(&kind);
                if ["", "SMS", "RCS", "CUSTOM"].contains(&kind) {
                    self.possible.push("unknown_text_field".to_owned());
                    self.id("locationId");
                    self.id("contactId");
                }
            }
            "ContactDndUpdate" => self.id("id"),
            "INSTALL" | "UNINSTALL" => {}
            _ => {
                let is = |kind: fn(&Value) -> bool| {
                    ["body", "message"].iter().any(|path| self.told(path).is_some_and(kind))
                };
                if is(Value::is_string) {
                    self.unknown();
                } else if is(Value::is_array) || is(Value::is_object) {
                    self.possible.push("unknown_event".to_owned());
                }
            }
        }
    }

    fn linkedin(&mut self) {
        let Some(event) = self.told("event") else {
            let hosted = self.told("status").is_some() && self.told("account_id").is_some();
            if !hosted && !raw(self.body, "AccountStatus").is_some_and(Value::is_object) {
                self.name(&[]);
            }
            return;
        };
        let Some(event) = event.as_str() else { return self.unknown() };
        let network = fields::first_word(self.body, &["account_type", "account_info.type"]);
        let is_linkedin = network.is_none_or(|it| it.eq_ignore_ascii_case("linkedin"));
        match event.trim() {
            "message_received" | "message.received" => {
                if !is_linkedin || flag(self.body, "is_event") {
                    return;
                }
                let ids = ["message_id", "message.id", "provider_message_id"];
                if ids.iter().all(|path| word(self.body, path).is_none()) {
                    self.id("message_id");
                }
                let sender = if self.told("sender").is_some() {
                    "sender.attendee_provider_id"
                } else {
                    "message.sender_id"
                };
                if word(self.body, sender).is_none() {
                    self.id("sender.attendee_provider_id");
                }
            }
            "message_edited" | "message_deleted" | "message_failed" if is_linkedin => {
                self.id("message_id");
            }
            "message_edited" | "message_deleted" | "message_failed" => {}
            "new_relation" | "connection.accepted" => {
                let old = ["connection.linkedin_member_id", "connection.id"];
                let has_old = old.iter().any(|path| word(self.body, path).is_some());
                if self.told("user_provider_id").is_some() || !has_old {
                    self.id("user_provider_id");
                }
            }
            "message_reaction" | "message_read" | "message_delivered" => {}
            "message.sent" | "connection.received" | "profile.viewed" => {}
            _ => self.unknown(),
        }
    }

    fn smartlead(&mut self) {
        const ADDRESSES: [&str; 5] = [
            "leadCorrespondence.targetLeadEmail",
            "lead_correspondence.targetLeadEmail",
            "sl_lead_email",
            "lead_email",
            "to_email",
        ];
        let Some(event) = self.name(&["event_type"]) else { return };
        match event {
            "EMAIL_REPLY" => {
                self.id("campaign_id");
                self.id("stats_id");
            }
            "EMAIL_SENT" | "FIRST_EMAIL_SENT" => self.id("campaign_id"),
            "EMAIL_BOUNCE" if flag(self.body, "is_sender_originated_bounce") => return,
            "EMAIL_BOUNCE" | "LEAD_UNSUBSCRIBED" | "LEAD_CATEGORY_UPDATED" => {}
            "EMAIL_OPEN" | "EMAIL_LINK_CLICK" => return,
            "CAMPAIGN_STATUS_CHANGED" | "MANUAL_STEP_REACHED" => return,
            _ => return self.unknown(),
        }
        self.address(&ADDRESSES, "to_email");
    }

    fn instantly(&mut self) {
        let Some(event) = self.name(&["event_type", "type"]) else { return };
        match event {
            "reply_received"
            | "auto_reply_received"
            | "email_sent"
            | "email_bounced"
            | "lead_unsubscribed"
            | "unsubscribed"
            | "lead_interested"
            | "lead_not_interested"
            | "lead_out_of_office"
            | "lead_meeting_booked"
            | "lead_wrong_person" => {
                self.address(&["lead_email", "email", "contact_email"], "lead_email");
            }
            "email_opened"
            | "link_clicked"
            | "email_link_clicked"
            | "campaign_completed"
            | "supersearch_enrichment_completed"
            | "lead_neutral"
            | "lead_closed"
            | "lead_meeting_completed"
            | "lead_no_show"
            | "account_error" => {}
            _ => {
                let texts = ["reply_text", "reply_html"];
                if word(self.body, "email_id").is_some()
                    && texts.iter().any(|path| fields::text(self.body, path).is_some())
                {
                    self.unknown();
                }
            }
        }
    }
}
