//! The options of `list` and `show`, made from the description of a list.

use super::{
    FilterSpec, FilterValues, LeadList, ListSpec, Listed, Named, ShowBy, details, near,
    pages::{self, ListForm, Pages},
    watch,
};
use crate::cli::{
    admin::{Admin, AdminRefusal, Remote},
    completions,
    failure::Failure,
    files::Files,
    http::block_on,
    output,
};
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    builder::{NonEmptyStringValueParser, PossibleValuesParser},
};
use serde_json::{Map, Value};
use std::{marker::PhantomData, time::Duration};

/// The shortest `--watch`. A shorter one would only load the daemon.
const WATCH_MIN: Duration = Duration::from_millis(200);

/// `list`: some objects of a list.
#[derive(Args)]
#[command(about = list_about::<L>())]
pub(in crate::cli) struct ListArgs<L: Listed> {
    #[command(flatten)]
    filters: Filters<L>,
    #[command(flatten)]
    page: PageArgs<L>,
    #[command(flatten)]
    remote: Remote,
}

/// `show`: one object of a list.
#[derive(Args)]
#[command(about = format!("Show one {}, with all of its fields", L::SPEC.noun))]
pub(in crate::cli) struct ShowArgs<L: Listed> {
    #[command(flatten)]
    id: IdArg<L>,
    #[command(flatten)]
    remote: Remote,
}

fn list_about<L: Listed>() -> String {
    format!("Show {}, {}", L::SPEC.plural, L::SPEC.order)
}

/// How much of a list is shown, and how.
#[derive(Args)]
struct PageArgs<L: Listed> {
    /// The most items to show, 1 to 500 [default: 50, or all of a list that is always short]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: Option<u16>,
    /// Where to continue, as printed after the previous page
    #[arg(long, value_name = "CURSOR", value_parser = NonEmptyStringValueParser::new())]
    cursor: Option<String>,
    /// Show all items, page by page
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    /// Show these columns of the table, separated by commas
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        value_parser = NonEmptyStringValueParser::new(),
        conflicts_with_all = ["json", "jsonl"],
        help_heading = "Output",
        add = completions::columns::<L>(),
    )]
    columns: Vec<String>,
    #[arg(skip)]
    list: PhantomData<L>,
    /// Print JSON, one item a line
    #[arg(long, conflicts_with = "json", help_heading = "Output")]
    jsonl: bool,
    /// Show the list again every 2 s, or at another interval. If stdout is no terminal, or with
    /// `--json` or `--jsonl`: print each item that is new or has changed, as JSON, one a line
    #[arg(
        long,
        value_name = "INTERVAL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = parse_interval,
        conflicts_with_all = ["all", "cursor"],
        help_heading = "Output",
    )]
    watch: Option<Duration>,
}

/// Parses the interval of `--watch`.
///
/// # Errors
/// What was expected.
pub(in crate::cli) fn parse_interval(text: &str) -> Result<Duration, String> {
    let parsed = humantime::parse_duration(text).ok();
    parsed.filter(|interval| *interval >= WATCH_MIN).ok_or_else(|| {
        format!("expected `2s` or another duration of at least {} ms", WATCH_MIN.as_millis())
    })
}

impl<L: Listed> ListArgs<L> {
    /// Prints the list. `files` are those given before the command.
    pub(in crate::cli) fn run(self, files: Files) -> Result<(), Failure> {
        let Self { filters, page, remote } = self;
        let spec = L::SPEC;
        let columns = spec.columns_of(&page.columns)?;
        let form = match (remote.json, page.jsonl) {
            (true, _) => ListForm::Document,
            (false, true) => ListForm::Lines,
            (false, false) => ListForm::Table { columns, times: remote.times() },
        };
        let admin = remote.connect(files)?;
        let mut query = filters.parameters();
        query.extend(page.limit.map(|limit| ("limit", limit.to_string())));
        if let Some(interval) = page.watch {
            return block_on(watch::run(&admin, &spec, query, &form, interval))?;
        }
        query.extend(page.cursor.map(|cursor| ("cursor", cursor)));
        let pages = Pages::new(&admin, &spec, query, page.all);
        block_on(async {
            let count = pages::print(pages, &form).await?;
            if count == 0 {
                near::tell_unknown(&admin, &spec, &filters.parameters()).await;
            }
            Ok(())
        })?
    }
}

impl<L: Listed> ShowArgs<L> {
    /// Prints the object. `files` are those given before the command.
    pub(in crate::cli) fn run(self, files: Files) -> Result<(), Failure> {
        let (is_json, times) = (self.remote.json, self.remote.times());
        let admin = self.remote.connect(files)?;
        let object = block_on(found(&admin, &L::SPEC, &self.id.id))??;
        if is_json {
            output::print_json(&object)
        } else {
            output::print(&details(&L::SPEC, &object, &times))
        }
    }
}

/// The object with this id.
async fn found(admin: &Admin, spec: &ListSpec, id: &str) -> Result<Value, Failure> {
    if spec.show == ShowBy::Path {
        return match admin.get(&[spec.path, id], &[]).await {
            Ok(object) => Ok(object),
            Err(AdminRefusal::This(refused)) => {
                Err(refused.failure(near::or_elsewhere(admin, spec, id, &refused).await))
            }
            Err(refusal) => Err(refusal.into()),
        };
    }
    let query = match spec.show {
        ShowBy::Page => {
            let next = id.parse::<u64>().unwrap_or_default().saturating_add(1);
            vec![("cursor", next.to_string()), ("limit", "1".to_owned())]
        }
        ShowBy::Path | ShowBy::Search => Vec::new(),
    };
    let answer = pages::first_page(admin, spec, &query).await?;
    let items = admin.items(&answer)?;
    if spec.show == ShowBy::Page {
        let found = items.iter().find(|item| item.get(spec.id).and_then(Value::as_str) == Some(id));
        let none = || Failure::Failed(format!("there is no {} {}", spec.noun, output::line(id)));
        return found.cloned().ok_or_else(none);
    }
    let name = |item: &Value| item.get(spec.id).and_then(Value::as_str).map(str::to_owned);
    let object = items.iter().find(|item| name(item).as_deref() == Some(id));
    object.cloned().ok_or_else(|| {
        let names: Vec<String> = items.iter().filter_map(name).collect();
        let meant = near::meant(id, names.iter().map(String::as_str));
        Failure::Failed(format!("there is no {} {}{meant}", spec.noun, output::line(id)))
    })
}

/// The id of an object of a list.
pub(in crate::cli) struct IdArg<L: Listed> {
    pub(in crate::cli) id: String,
    list: PhantomData<L>,
}

impl<L: Listed> Args for IdArg<L> {
    fn augment_args(command: Command) -> Command {
        command.arg(
            Arg::new("id")
                .value_name(L::SPEC.id_name())
                .help(format!("The {} of the {}", L::SPEC.id, L::SPEC.noun))
                .required(true)
                .value_parser(NonEmptyStringValueParser::new())
                .add(completions::ids::<L>()),
        )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<L: Listed> FromArgMatches for IdArg<L> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let id = matches.get_one::<String>("id").cloned().unwrap_or_default();
        Ok(Self { id, list: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Ids of objects of a list, at least one.
#[derive(Args)]
pub(in crate::cli) struct IdsArg<L: Listed> {
    #[arg(
        value_name = "ID",
        help = format!("Ids of the {}", L::SPEC.plural),
        required = true,
        value_parser = NonEmptyStringValueParser::new(),
        add = completions::ids::<L>(),
    )]
    ids: Vec<String>,
    #[arg(skip)]
    list: PhantomData<L>,
}

impl<L: Listed> IdsArg<L> {
    /// The ids, as given.
    pub(in crate::cli) fn as_slice(&self) -> &[String] {
        &self.ids
    }
}

/// The reason for a change.
#[derive(Args)]
pub(in crate::cli) struct NoteArg {
    /// Why, for those who find it later
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(in crate::cli) note: Option<String>,
}

/// The filters of a list as options. An object matches an option if it has any of its values, and
/// must match all options.
pub(in crate::cli) struct Filters<L: Listed> {
    /// For each filter that is given, its parameter and its values.
    given: Vec<(&'static str, Vec<String>)>,
    list: PhantomData<L>,
}

impl<L: Listed> Filters<L> {
    /// The filters that are given, as a query of the API.
    pub(in crate::cli) fn parameters(&self) -> Vec<(&'static str, String)> {
        self.given.iter().map(|(parameter, values)| (*parameter, values.join(","))).collect()
    }

    /// The filters that are given, as a JSON body of the API.
    pub(in crate::cli) fn document(&self) -> Value {
        let pair = |(name, value): (&'static str, String)| (name.to_owned(), Value::String(value));
        Value::Object(self.parameters().into_iter().map(pair).collect::<Map<_, _>>())
    }
}

impl FilterSpec {
    fn arg(&self) -> Arg {
        let arg = Arg::new(self.option).long(self.option);
        let arg = match self.values {
            FilterValues::Text(name) => {
                return arg
                    .help(self.help)
                    .value_name(name)
                    .value_parser(NonEmptyStringValueParser::new());
            }
            FilterValues::TextOrNone(name) => return arg.help(self.help).value_name(name),
            FilterValues::Words(name, words) => {
                arg.value_name(name).value_parser(PossibleValuesParser::new(words()))
            }
            FilterValues::Names(named) => arg
                .value_name(named.value_name())
                .value_parser(NonEmptyStringValueParser::new())
                .add(match named {
                    Named::Lead => completions::ids::<LeadList>(),
                    Named::Kind | Named::Client | Named::Channel | Named::Action => {
                        completions::names(named)
                    }
                }),
        };
        let arg = match self.default {
            Some(value) => arg.default_value(value),
            None => arg,
        };
        arg.help(format!("{}; several with commas", self.help))
            .action(ArgAction::Append)
            .value_delimiter(',')
    }
}

impl<L: Listed> Args for Filters<L> {
    fn augment_args(command: Command) -> Command {
        command.args(L::SPEC.filters.iter().map(FilterSpec::arg))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<L: Listed> FromArgMatches for Filters<L> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = L::SPEC.filters.iter().filter_map(|filter| {
            let values = matches.get_many::<String>(filter.option)?;
            Some((filter.parameter, values.cloned().collect()))
        });
        Ok(Self { given: given.collect(), list: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lists::JobList;
    use serde_json::json;

    #[test]
    fn a_filter_says_only_what_is_set() {
        let command = Filters::<JobList>::augment_args(Command::new("list"));
        let args = ["list", "--status", "failed,cancelled", "--client", "demo"];
        let matches = command.try_get_matches_from(args).expect("right");
        let filters = Filters::<JobList>::from_arg_matches(&matches).expect("right");
        assert_eq!(filters.document(), json!({"status": "failed,cancelled", "client": "demo"}));
        // Commas do not part an error.
        let command = Filters::<JobList>::augment_args(Command::new("list"));
        let matches = command.try_get_matches_from(["list", "--error", "no, none"]).expect("right");
        let filters = Filters::<JobList>::from_arg_matches(&matches).expect("right");
        assert_eq!(filters.document(), json!({"error": "no, none"}));
    }

    #[test]
    fn an_interval_is_not_too_short() {
        assert_eq!(parse_interval("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_interval("500ms"), Ok(Duration::from_millis(500)));
        for text in ["", "2", "0s", "1ms", "soon"] {
            assert!(parse_interval(text).is_err(), "{text}");
        }
    }
}
