//! Every way in which one field of a body can be wrong.

use serde_json::Value;
use std::{borrow::Cow, fmt, sync::LazyLock};

/// A name or a place in a list.
#[derive(Clone, PartialEq, Eq)]
pub enum Step {
    Name(String),
    Place(usize),
}

/// The way to a field.
#[derive(Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

impl Path {
    /// The value at the path.
    pub fn value<'a>(&self, body: &'a Value) -> &'a Value {
        let step = |value: &'a Value, step: &Step| match step {
            Step::Name(name) => value.get(name),
            Step::Place(place) => value.get(*place),
        };
        self.0.iter().try_fold(body, step).expect("the way is there")
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            let dot = if number == 0 { "" } else { "." };
            match step {
                Step::Name(name) => write!(f, "{dot}{name}")?,
                Step::Place(place) => write!(f, "{dot}{place}")?,
            }
        }
        Ok(())
    }
}

/// The ways to all fields of `body`, at all depths.
pub fn paths(body: &Value) -> Vec<Path> {
    /// The first few items of a list stand for all.
    const PLACES: usize = 2;
    fn walk(value: &Value, way: &mut Vec<Step>, found: &mut Vec<Path>) {
        let mut visit = |step: Step, value: &Value, way: &mut Vec<Step>| {
            way.push(step);
            found.push(Path(way.clone()));
            walk(value, way, found);
            way.pop();
        };
        match value {
            Value::Object(map) => {
                for (name, value) in map {
                    visit(Step::Name(name.clone()), value, way);
                }
            }
            Value::Array(items) => {
                for (place, value) in items.iter().take(PLACES).enumerate() {
                    visit(Step::Place(place), value, way);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    walk(body, &mut Vec::new(), &mut found);
    found
}

/// The JSON text that takes a field's place.
#[derive(Clone)]
pub struct Change {
    pub what: &'static str,
    /// `None`: the field is gone.
    pub text: Option<Cow<'static, str>>,
    /// False if the whole body is no JSON any more.
    pub is_json: bool,
}

impl Change {
    const fn is(what: &'static str, text: &'static str) -> Self {
        Self { what, text: Some(Cow::Borrowed(text)), is_json: true }
    }

    fn made(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, text: Some(Cow::Owned(text.into())), is_json: true }
    }
}

/// The changes that are tried in every field.
static EVERYWHERE: LazyLock<Vec<Change>> = LazyLock::new(|| {
    let digits = |count| "9".repeat(count);
    let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let deep_maps = |levels| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
    let mut changes = vec![
        Change { what: "gone", text: None, is_json: true },
        Change::is("null", "null"),
        Change::is("true", "true"),
        Change::is("false", "false"),
        Change::is("0", "0"),
        Change::is("-7", "-7"),
        Change::is("1.5", "1.5"),
        Change::is("an empty list", "[]"),
        Change::is("an empty object", "{}"),
        Change::is("a list of nothing", "[null]"),
        Change::is("a list of a text", r#"["x"]"#),
        Change::is("lists in a list", r#"[[{}],[],null,7,{"name":[]}]"#),
        Change::is("an object", r#"{"x":1}"#),
        Change::is("an object of objects", r#"{"id":{},"email":{"email":{}},"type":{"type":[]}}"#),
        // Blanks.
        Change::is("an empty text", r#""""#),
        Change::is("blanks", r#"" \t\r\n\u00a0\u3000""#),
        Change::is("N/A", r#"" N/A ""#),
        Change::is("the text null", r#""null""#),
        Change::is("marks that are not seen", r#""\ufeff\u200b\u202e\u00ad""#),
        // Poison.
        Change::is("NUL", r#""\u0000""#),
        Change::is("blanks and NUL", r#"" \u0000 \u0000""#),
        Change::is("NUL in a text", r#""a\u0000b@c\u0000.example""#),
        Change::is("NUL in N/A", r#""N\u0000/A""#),
        Change::is("half a surrogate", r#""\ud800""#),
        Change::is("half surrogates in a text", r#""a\udfffb@\ud83dc.example\ud83d""#),
        Change::is("surrogates the wrong way round", r#""\udc00\ud800 \\ud800""#),
        Change::is("a number as an object", r#"{"$serde_json::private::Number":1}"#),
        Change::is("an object as a number", r#"{"$serde_json::private::Number":"12"}"#),
        Change::is("an object as JSON", r#"{"$serde_json::private::RawValue":"{\"x\":[]}"}"#),
        Change::is("the same name twice", r#"{"id":1,"id":{},"email":"a@b.example","email":null}"#),
        Change::is("a sentence of SQL", r#""'; drop table messages; --""#),
        Change::is("a robot", r#""MAILER-DAEMON@mx.example""#),
        Change::is("an address with a name", r#""Dana <dana@larkspur.example>""#),
        Change::is("many signs of an address", r#""@@a@@b@@""#),
        Change::is(
            "tags",
            r#""<!--<![CDATA[<script><p style='x>&#0;&#xD800;&#99999999999;&nope;""#,
        ),
        // Impossible numbers and times.
        Change::is("1e999", "1e999"),
        Change::is("-1e999", "-1e999"),
        Change::is("1e-999", "1e-999"),
        Change::is("a time of old", "-99999999999999999999"),
        Change::is("a time to come", "99999999999999999999"),
        Change::is("a date of old", r#""-009999-01-01T00:00:00Z""#),
        Change::is("the year nought", r#""0000-00-00 00:00:00""#),
        Change::is("a date to come", r#""9999-12-31T23:59:59.999999999+14:00""#),
        Change::is("no such date", r#""2026-02-30T25:61:61Z""#),
        Change::is("Not a Number", r#""NaN""#),
        Change::made("400 digits", digits(400)),
        Change::made("400 digits as text", format!("\"{}\"", digits(400))),
        Change::made("600 digits", digits(600)),
        Change::made("400 digits behind the point", format!("0.{}", digits(400))),
        // Swollen.
        Change::made("a long word", format!("\"{}\"", "é".repeat(3_000))),
        Change::made("a long address", format!("\"{0}@{0}.example\"", "y".repeat(400))),
        Change::made("many signs", format!("\"{}\"", "<>&;\\\" ".repeat(400))),
        Change::made(
            "a long list",
            format!("[{}null]", "{\"email\":\"a@b.example\"},".repeat(300)),
        ),
        Change::made("many levels", nested(100)),
        Change::made("many levels of objects", deep_maps(100)),
    ];
    for (what, text) in [
        ("10,000 levels", nested(10_000)),
        ("10,000 levels of objects", deep_maps(10_000)),
        ("10,000 levels without an end", "[{\"a\":".repeat(5_000)),
        ("a raw line end in a text", "\"a\nb\"".to_owned()),
        ("a raw NUL in a text", "\"a\0b\"".to_owned()),
        ("half an escape", r#""\u12""#.to_owned()),
        ("a text without an end", "\"".to_owned()),
        ("a word", "undefined".to_owned()),
        ("a leading nought", "007".to_owned()),
        ("a comma", ",".to_owned()),
    ] {
        changes.push(Change { what, text: Some(Cow::Owned(text)), is_json: false });
    }
    changes
});

/// All changes of `value`.
pub fn of(value: &Value) -> Vec<Change> {
    let mut changes = EVERYWHERE.clone();
    let own = value.to_string();
    changes.push(Change::made("a list of itself", format!("[{own}]")));
    changes.push(Change::made("an object of itself", format!("{{\"id\":{own},\"email\":{own}}}")));
    changes.push(Change::made("itself as text", Value::from(own.as_str()).to_string()));
    match value {
        Value::String(text) => {
            let spaced = Value::from(format!(" \u{0}{text}\u{0}\n"));
            changes.push(Change::made("itself among blanks", spaced.to_string()));
            let doubled = Value::from(text.repeat(2));
            changes.push(Change::made("itself twice", doubled.to_string()));
            changes.push(Change::made("in capitals", Value::from(text.to_uppercase()).to_string()));
        }
        Value::Number(number) => {
            changes.push(Change::made("itself as a fraction", format!("{number}.0")));
        }
        _ => {}
    }
    changes
}

/// A body with a gap where the field at a path stands.
pub struct Gap {
    before: String,
    after: String,
    /// The body without the field.
    without: String,
}

impl Gap {
    /// The gap in `body` at `path`.
    pub fn at(body: &Value, path: &Path) -> Self {
        const HERE: &str = "<<here the new text is to stand>>";
        let (last, way) = path.0.split_last().expect("a way has steps");
        let with = |change: &dyn Fn(&mut Value)| {
            let mut body = body.clone();
            let parent = way.iter().try_fold(&mut body, |value, step| match step {
                Step::Name(name) => value.get_mut(name),
                Step::Place(place) => value.get_mut(*place),
            });
            change(parent.expect("the way is there"));
            body.to_string()
        };
        let marked = with(&|parent| match last {
            Step::Name(name) => parent[name] = HERE.into(),
            Step::Place(place) => parent[*place] = HERE.into(),
        });
        let without = with(&|parent| match (parent, last) {
            (Value::Object(map), Step::Name(name)) => drop(map.remove(name)),
            (Value::Array(items), Step::Place(place)) => drop(items.remove(*place)),
            (other, _) => panic!("{path} leads through {other}"),
        });
        let (before, after) = marked.split_once(&format!("\"{HERE}\"")).expect("it was put in");
        Self { before: before.to_owned(), after: after.to_owned(), without }
    }

    /// The body with this text of JSON in the gap, or without the field.
    pub fn filled(&self, text: Option<&str>) -> String {
        match text {
            Some(text) => [&self.before, text, &self.after].concat(),
            None => self.without.clone(),
        }
    }
}

/// `body` with another text of JSON, or none, in the place of the field at `path`.
pub fn applied(body: &Value, path: &Path, text: Option<&str>) -> String {
    Gap::at(body, path).filled(text)
}
