//! The ids, classes and styles with which mail programs mark the older mail in HTML (docs/RULES.md
//! TEXT).

/// What a tag says about the older mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// From here on everything is old.
    Rest,
    /// The content of this element is old.
    Element,
}

/// Marks behind which everything is old: of Outlook, Windows Mail, Zimbra, `QQ` and `NetEase` mail.
const RESTS: [&str; 11] = [
    "divrplyfwdmsg",
    "appendonsend",
    "olk_src_body_section",
    "stopspelling",
    "mail-editor-reference-message-container",
    "ms-outlook-mobile-reference-message",
    "zwchr",
    "isreplycontent",
    "isforwardcontent",
    "includetail",
    "reply-intro",
];

/// Elements that hold an older mail, or the line that introduces it.
const ELEMENTS: [&str; 32] = [
    "gmail_quote",
    "gmail_quote_container",
    "gmail_attr",
    "yahoo_quoted",
    "yahoo-quoted",
    "moz-cite-prefix",
    "moz-forward-container",
    "moz-email-headers-table",
    "protonmail_quote",
    "zmail_extra",
    "zmail_extra_hr",
    "tutanota_quote",
    "spark_quote",
    "messagereplysection",
    "messageforwardsection",
    "front-blockquote",
    "missive_quote",
    "sh-quoted-content",
    "bloop_quote",
    "airmail_quote",
    "mail-quote-collapse",
    "freshdesk_quote",
    "hs_reply",
    "replyforwardheader",
    "ntes_quote",
    "qmquote",
    "edo-reply",
    "email_quote",
    "quoted-text",
    "quoted_text",
    "quotedtext",
    "gmail_forward",
];

/// What an opening tag says. `tag` is its inside, which starts with `name`.
pub(super) fn mark(name: &str, tag: &str) -> Option<Mark> {
    if !tag.contains('=') {
        return None;
    }
    let mut found = None;
    for (attribute, value) in attributes(tag) {
        match attribute.as_str() {
            "id" | "class" | "name" => {
                for word in value.split_ascii_whitespace() {
                    let word = bare(word);
                    if RESTS.contains(&word.as_str()) {
                        return Some(Mark::Rest);
                    }
                    let is_named = attribute == "name" && word == "quote";
                    if ELEMENTS.contains(&word.as_str()) || is_numbered(&word) || is_named {
                        found = Some(Mark::Element);
                    }
                }
            }
            "style" if is_rule_of_outlook(&value) => return Some(Mark::Rest),
            "tabindex" if name == "hr" && value.trim() == "-1" => return Some(Mark::Rest),
            "data-marker"
                if matches!(value.trim(), "__DIVIDER__" | "__HEADERS__" | "__QUOTED_TEXT__") =>
            {
                return Some(Mark::Rest);
            }
            _ => {}
        }
    }
    found
}

/// The word in small letters, without the `x_` that servers put before names that they do not know.
fn bare(word: &str) -> String {
    let mut word = word.to_ascii_lowercase();
    while let Some(rest) = word.strip_prefix("x_") {
        word = rest.to_owned();
    }
    word
}

/// True for the name of an element, `_` or `-`, and a number.
fn is_numbered(word: &str) -> bool {
    let number = |element: &&str| word.strip_prefix(*element)?.strip_prefix(['_', '-']);
    ELEMENTS
        .iter()
        .filter_map(number)
        .any(|number| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()))
}

/// The thin line that Outlook draws above the headers of the mail that is answered.
fn is_rule_of_outlook(style: &str) -> bool {
    let style: String =
        style.chars().filter(|it| !it.is_whitespace()).map(|it| it.to_ascii_lowercase()).collect();
    let is_line = [
        "border:none;border-top:solid",
        "border-width:1ptmediummedium",
        "border-style:solidnonenone",
    ]
    .iter()
    .any(|it| style.contains(it))
        || (style.contains("border-top:")
            && style.contains("solid")
            && style.contains("border-right:none"));
    is_line && (style.contains("padding:3.0pt0") || style.contains("padding:3pt0"))
}

/// The attributes of a tag with their values, names in small letters.
fn attributes(tag: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let mut rest = tag;
    std::iter::from_fn(move || {
        let (before, behind) = rest.split_once('=')?;
        let name = before
            .trim_end()
            .rsplit(|char: char| char.is_whitespace() || char == '/')
            .next()
            .unwrap_or_default();
        let behind = behind.trim_start();
        let (value, left) = match behind.chars().next() {
            Some(mark @ ('"' | '\'')) => {
                let inside = behind.get(1..).unwrap_or_default();
                inside.split_once(mark).unwrap_or((inside, ""))
            }
            _ => behind.split_once(char::is_whitespace).unwrap_or((behind, "")),
        };
        rest = left;
        Some((name.to_ascii_lowercase(), value.to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_mail_programs_are_known() {
        for (tag, expected) in [
            (r#"div id="divRplyFwdMsg" dir="ltr""#, Some(Mark::Rest)),
            (r#"div id="x_x_divRplyFwdMsg""#, Some(Mark::Rest)),
            (r#"div id=appendonsend"#, Some(Mark::Rest)),
            (r#"span id="OLK_SRC_BODY_SECTION""#, Some(Mark::Rest)),
            (r#"hr style="display:inline-block;width:98%" tabindex="-1""#, Some(Mark::Rest)),
            (r#"hr id="stopSpelling""#, Some(Mark::Rest)),
            (r#"hr id='zwchr' data-marker='__DIVIDER__'"#, Some(Mark::Rest)),
            (
                "div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in'",
                Some(Mark::Rest),
            ),
            (
                "div style=\"mso-element:para-border-div; border: none; border-top: solid #B5C4DF 1.0pt; padding: 3.0pt 0cm 0cm 0cm\"",
                Some(Mark::Rest),
            ),
            (r#"div class="gmail_quote gmail_quote_container""#, Some(Mark::Element)),
            (r#"div id="ydp123" class="yahoo_quoted""#, Some(Mark::Element)),
            (r#"div id="yahoo_quoted_4711""#, Some(Mark::Element)),
            (r#"DIV CLASS="moz-cite-prefix""#, Some(Mark::Element)),
            (r#"div class="protonmail_quote""#, Some(Mark::Element)),
            (r#"div class="zmail_extra""#, Some(Mark::Element)),
            (r#"blockquote class="tutanota_quote""#, Some(Mark::Element)),
            (r#"div name="quote" style="margin:10px""#, Some(Mark::Element)),
            (r#"div name="messageReplySection""#, Some(Mark::Element)),
            (r#"div class="WordSection1""#, None),
            (r#"div class="gmail_default""#, None),
            (r#"div class="gmail_signature" data-smartmail="gmail_signature""#, None),
            (r#"div style="border-top:1px solid #ccc;padding:10px""#, None),
            (r#"a class="quote-button" href="https://x.example/?id=divRplyFwdMsg""#, None),
            ("hr", None),
            ("div = = ''=\"", None),
        ] {
            let name = tag.split(' ').next().unwrap().to_lowercase();
            assert_eq!(mark(&name, tag), expected, "{tag}");
        }
    }
}
