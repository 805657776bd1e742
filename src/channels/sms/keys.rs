//! By what one text message is known again, over either path.

use crate::{
    channels::fields,
    domain::event::{Attachment, Direction, KeyKind, MessageKey},
};

/// The way on which a body came.
#[derive(Clone, Copy)]
pub(super) enum Path {
    Workflow,
    Marketplace,
}

impl Path {
    const fn word(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Marketplace => "marketplace",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Workflow => Self::Marketplace,
            Self::Marketplace => Self::Workflow,
        }
    }
}

pub(super) const fn kind(direction: Direction) -> KeyKind {
    match direction {
        Direction::Inbound => KeyKind::Reply,
        Direction::Outbound => KeyKind::Sent,
    }
}

/// The key to look up what came over the other path, and the key that the other path looks up: the
/// same contact, direction and text within 10 minutes is one message. None without a text.
pub(super) fn crossed(
    path: Path,
    contact: &str,
    direction: Direction,
    text: &str,
) -> (Vec<MessageKey>, Vec<MessageKey>) {
    let text = fields::normalised(text);
    if text.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let hash = fields::hash(&[contact, direction.as_str(), &text]);
    let key = |path: Path| MessageKey {
        kind: kind(direction),
        key: format!("x:{}:{hash}", path.word()),
        expires: true,
    };
    (vec![key(path.other())], vec![key(path)])
}

/// What a message says, as a content key holds it: its text, and where it has none the files that
/// came, or two pictures would be one message.
pub(super) fn told(text: &str, files: &[Attachment]) -> String {
    let text = fields::normalised(text);
    if !text.is_empty() {
        return text;
    }
    let named = files.iter().filter_map(|it| it.url.as_deref().or(it.name.as_deref()));
    named.collect::<Vec<_>>().join("\n")
}
