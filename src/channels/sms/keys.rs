//! Keys by which one text message is recognised when it comes over both paths.

use crate::{
    channels::fields,
    domain::event::{Attachment, Direction, KeyKind, MessageKey},
};

/// The path over which a body came.
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

/// The key by which to look for the message from the other path, and the key by which the other
/// path looks for this one. The same contact, direction and text within 10 minutes is one message.
/// No keys without a text.
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

/// The part of a content key that stands for what the message says: its text, or its files if it
/// has no text. Without the files, two pictures would be one message.
pub(super) fn told(text: &str, files: &[Attachment]) -> String {
    let text = fields::normalised(text);
    if !text.is_empty() {
        return text;
    }
    let named = files.iter().filter_map(|file| file.url.as_deref().or(file.name.as_deref()));
    named.collect::<Vec<_>>().join("\n")
}
