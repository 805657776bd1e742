//! Character references of HTML.

use std::borrow::Cow;

/// The most bytes of the name or number of a reference.
const LENGTH_MAX: usize = 12;

/// The character for the reference at the start of `text`, and the text behind it.
pub(super) fn decode(text: &str) -> Option<(char, &str)> {
    let inner = text.strip_prefix('&')?;
    let end = inner.bytes().take(LENGTH_MAX).position(|byte| byte == b';')?;
    let (name, rest) = inner.split_at_checked(end)?;
    let char = match name.strip_prefix('#') {
        Some(number) => numbered(number)?,
        None => NAMED.iter().find(|(it, _)| *it == name).map(|(_, char)| *char)?,
    };
    Some((char, rest.strip_prefix(';').unwrap_or(rest)))
}

/// `text` with its references decoded once.
pub(super) fn decoded(text: &str) -> Cow<'_, str> {
    let mut rest = text;
    let mut made = String::new();
    while let Some((before, tail)) = rest.find('&').and_then(|at| rest.split_at_checked(at)) {
        made.push_str(before);
        rest = match decode(tail) {
            Some((char, left)) => {
                made.extend((char != '\0').then_some(char));
                left
            }
            None => {
                made.push('&');
                tail.strip_prefix('&').unwrap_or_default()
            }
        };
    }
    if rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    made.push_str(rest);
    Cow::Owned(made)
}

fn numbered(number: &str) -> Option<char> {
    let code = match number.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => number.parse().ok()?,
    };
    // Browsers read these numbers as Windows-1252.
    Some(match code {
        0x91 | 0x92 => '\'',
        0x93 | 0x94 => '"',
        0x96 => '–',
        0x97 => '—',
        _ => char::from_u32(code)?,
    })
}

#[rustfmt::skip]
const NAMED: &[(&str, char)] = &[
    ("nbsp", '\u{a0}'), ("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\''),
    ("rsquo", '’'), ("lsquo", '‘'), ("ldquo", '“'), ("rdquo", '”'), ("sbquo", '‚'), ("bdquo", '„'),
    ("ndash", '–'), ("mdash", '—'), ("hellip", '…'), ("bull", '•'), ("middot", '·'), ("laquo", '«'),
    ("raquo", '»'), ("euro", '€'), ("pound", '£'), ("yen", '¥'), ("cent", '¢'), ("copy", '©'),
    ("reg", '®'), ("trade", '™'), ("deg", '°'), ("plusmn", '±'), ("times", '×'), ("divide", '÷'),
    ("sect", '§'), ("para", '¶'), ("iexcl", '¡'), ("iquest", '¿'), ("ordf", 'ª'), ("ordm", 'º'),
    ("frac12", '½'), ("frac14", '¼'), ("frac34", '¾'), ("sup2", '²'), ("sup3", '³'), ("micro", 'µ'),
    ("shy", '\u{ad}'), ("zwnj", '\u{200c}'), ("zwj", '\u{200d}'), ("ensp", '\u{2002}'),
    ("emsp", '\u{2003}'), ("thinsp", '\u{2009}'), ("szlig", 'ß'),
    ("Agrave", 'À'), ("Aacute", 'Á'), ("Acirc", 'Â'), ("Atilde", 'Ã'), ("Auml", 'Ä'), ("Aring", 'Å'),
    ("AElig", 'Æ'), ("Ccedil", 'Ç'), ("Egrave", 'È'), ("Eacute", 'É'), ("Ecirc", 'Ê'), ("Euml", 'Ë'),
    ("Igrave", 'Ì'), ("Iacute", 'Í'), ("Icirc", 'Î'), ("Iuml", 'Ï'), ("Ntilde", 'Ñ'), ("Ograve", 'Ò'),
    ("Oacute", 'Ó'), ("Ocirc", 'Ô'), ("Otilde", 'Õ'), ("Ouml", 'Ö'), ("Oslash", 'Ø'), ("Ugrave", 'Ù'),
    ("Uacute", 'Ú'), ("Ucirc", 'Û'), ("Uuml", 'Ü'),
    ("agrave", 'à'), ("aacute", 'á'), ("acirc", 'â'), ("atilde", 'ã'), ("auml", 'ä'), ("aring", 'å'),
    ("aelig", 'æ'), ("ccedil", 'ç'), ("egrave", 'è'), ("eacute", 'é'), ("ecirc", 'ê'), ("euml", 'ë'),
    ("igrave", 'ì'), ("iacute", 'í'), ("icirc", 'î'), ("iuml", 'ï'), ("ntilde", 'ñ'), ("ograve", 'ò'),
    ("oacute", 'ó'), ("ocirc", 'ô'), ("otilde", 'õ'), ("ouml", 'ö'), ("oslash", 'ø'), ("ugrave", 'ù'),
    ("uacute", 'ú'), ("ucirc", 'û'), ("uuml", 'ü'), ("oelig", 'œ'), ("OElig", 'Œ'),
];
