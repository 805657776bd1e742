//! A channel of pagers, whose messages are plain JSON. This file holds all that Postroom must know
//! about it.

use postroom::{
    channels::{
        Channel, EventRow, Received, fields, row,
        samples::MadeUpLead,
        sending::{Call, CallAnswer, Letter, Taken, Unsendable, end_of, in_json},
    },
    domain::{
        ChannelName, Event, Identity, IdentityKind, Interpreted, JobKind, LeadProfile, Medium,
        NewMessage, NotUnderstood, ProviderServer, SendFacts, Signal,
        event::{Address, Direction, KeyKind, MessageKey},
        opt_out::opt_out_words,
        sending::SendEnd,
    },
};
use serde_json::{Value, json};

/// The channel of pagers.
pub struct Pager;

/// The number of a pager, which its provider gives out.
pub const PAGER_NUMBER: IdentityKind = IdentityKind::given_out("pager_number");

impl Channel for Pager {
    const NAME: ChannelName = ChannelName("pager");
    const MEDIUM: Medium = Medium::Text { parts: 2, chars: 40 };
    // The name of the kind does not contain the channel's name: nothing may depend on that.
    const POST_PROCESS: JobKind = JobKind("READ_A_PAGE");
    const TABLE: &'static [EventRow] = &[
        row("page", "accepted", ""),
        row("quiet", "recorded do_not_disturb", "an unknown lead is ignored"),
        row("battery", "ignored battery", ""),
    ];
    const OTHERS: &'static str = "quarantined `unknown_event`";
    const SECRET_HEADER: Option<&'static str> = Some("X-Pager-Secret");
    const ACCOUNT: &'static [&'static str] = &["desk.id"];
    const IDENTITIES: &'static [IdentityKind] = &[PAGER_NUMBER];
    const SEND: Option<SendFacts> = Some(SendFacts {
        server: ProviderServer::OfCustomer("https://pages.example.com"),
        by_rule: true,
    });
    const MESSAGE_EVENT: &'static str = "page";

    fn sample(&self, event: &str, lead: &MadeUpLead) -> Value {
        json!({
            "event": event,
            "desk": {"id": "sample-desk"},
            "id": lead.id("page"),
            "pager": lead.number(),
            "name": lead.first,
            "text": lead.text,
        })
    }

    fn reply_call(&self, letter: &Letter<'_>) -> Result<Call, Unsendable> {
        let body = json!({"pager": letter.id("pager")?, "text": letter.body});
        let mut call = letter.post_json(None, "/pages", &body)?;
        call.headers.push(letter.bearer());
        Ok(call)
    }

    fn reply_answer(&self, answer: &CallAnswer) -> SendEnd {
        end_of(answer, |body| in_json(body, |body| Taken::with_id(fields::word(body, "page_id"))))
    }

    fn interpret(&self, received: &Received<'_>) -> Result<Interpreted, NotUnderstood> {
        let body = received.body;
        let event = fields::word(body, "event").unwrap_or_default();
        let signal = match event.as_str() {
            "page" => Signal::Message(Box::new(message(body).map_err(|it| it.of("page"))?)),
            "quiet" => Signal::DoNotDisturb { active: true },
            "battery" => {
                let event_type = Some(event);
                return Ok(Interpreted::Ignored { event_type, reason: "battery", warn: false });
            }
            _ => {
                let reason = "unknown_event".to_owned();
                return Err(NotUnderstood { event_type: Some(event), reason });
            }
        };
        let pager = fields::required(body, "pager").map_err(|it| it.of(&event))?;
        Ok(Interpreted::Event(Box::new(Event {
            event_type: event,
            identities: vec![Identity::new(PAGER_NUMBER, pager)],
            lead_of_chat: None,
            profile: LeadProfile { first_name: fields::word(body, "name"), ..Default::default() },
            campaign: None,
            at: received.received_at,
            signal,
        })))
    }
}

fn message(body: &Value) -> Result<NewMessage, fields::FieldError> {
    let (id, text) = (fields::required(body, "id")?, fields::text(body, "text"));
    let text = text.unwrap_or_default();
    Ok(NewMessage {
        direction: Direction::Inbound,
        keys: vec![MessageKey { kind: KeyKind::Reply, key: id.clone(), expires: false }],
        also_known_as: Vec::new(),
        stored_only: Vec::new(),
        provider_id: Some(id),
        reply_handle: Some(json!({"pager": fields::word(body, "pager")})),
        subject: None,
        opt_out: opt_out_words(Pager::MEDIUM, None, &text),
        has_new_text: !text.is_empty(),
        raw_text: Some(text.clone()),
        body: text,
        raw_html: None,
        from: Address { address: fields::word(body, "pager"), name: fields::word(body, "name") },
        to: Vec::new(),
        cc: Vec::new(),
        attachments: Vec::new(),
        automated: false,
        hint: None,
    })
}
