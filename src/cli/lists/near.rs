//! "Did you mean": for ids of another kind, and for names that the daemon does not know.

use super::{FilterValues, ListSpec, Listed as _, known};
use crate::{
    cli::{
        admin::{Admin, AdminRefusal, Refused},
        failure::Failure,
        output::{complain, line},
    },
    config::nearest,
    registry,
    store::AUDIT_ACTIONS,
};

/// Names that a daemon knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Named {
    /// A job kind.
    Kind,
    /// A client.
    Client,
    /// A channel.
    Channel,
    /// A lead.
    Lead,
    /// What an entry of the audit log says was done.
    Action,
}

impl Named {
    /// The placeholder in the help.
    pub(super) const fn value_name(self) -> &'static str {
        match self {
            Self::Kind => "KIND",
            Self::Channel => "CHANNEL",
            Self::Client | Self::Lead => "ID",
            Self::Action => "ACTION",
        }
    }

    /// The names of a daemon; `None` if it cannot be asked, or has too many.
    pub(in crate::cli) async fn of(self, admin: &Admin) -> Option<Vec<String>> {
        match self {
            Self::Kind => names(admin, "pools", "items", "kind").await,
            Self::Client => match names(admin, "clients", "items", "id").await {
                Some(names) => Some(names),
                None => names(admin, "overview", "by_client", "client_id").await,
            },
            Self::Channel | Self::Action => Some(self.built_in()),
            Self::Lead => None,
        }
    }

    /// The names of this program; none of those that a configuration or a database has.
    pub(in crate::cli) fn built_in(self) -> Vec<String> {
        let registry = registry::postroom();
        match self {
            Self::Kind => registry.kind_names().iter().map(|kind| kind.0.to_owned()).collect(),
            Self::Channel => {
                registry.channels.iter().map(|channel| channel.name().0.to_owned()).collect()
            }
            Self::Action => AUDIT_ACTIONS.map(str::to_owned).to_vec(),
            Self::Client | Self::Lead => Vec::new(),
        }
    }
}

/// The values of `field` in the list `list` of the answer to a path.
async fn names(admin: &Admin, path: &str, list: &str, field: &str) -> Option<Vec<String>> {
    let answer = admin.get(&[path], &[]).await.ok()?;
    let items = answer.get(list)?.as_array()?;
    Some(items.iter().filter_map(|item| item.get(field)?.as_str()).map(str::to_owned).collect())
}

/// `: did you mean …?` with the known name that is most like `name`; empty if none is near.
pub(super) fn meant<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|name| format!(": did you mean `{}`?", line(name))).unwrap_or_default()
}

/// The failure for a refused list, with the names that may have been meant.
pub(super) async fn with_meant(
    admin: &Admin,
    spec: &ListSpec,
    query: &[(&'static str, String)],
    refused: Refused,
) -> Failure {
    let at_fault = refused.field.clone();
    let is_at_fault = |name: &str| at_fault.as_deref() == Some(name);
    let mut text = refused.to_string();
    for note in unknown(admin, spec, query).await {
        if is_at_fault(note.parameter) {
            text.push_str(&note.meant);
        }
    }
    refused.failure(text)
}

/// Says which names of an empty list the daemon does not know.
pub(super) async fn tell_unknown(admin: &Admin, spec: &ListSpec, query: &[(&'static str, String)]) {
    for note in unknown(admin, spec, query).await {
        let UnknownName { parameter, value, meant } = note;
        complain(&format!("note: the daemon knows no {parameter} `{}`{meant}", line(&value)));
    }
}

/// A value of a filter that the daemon does not know.
struct UnknownName {
    parameter: &'static str,
    value: String,
    meant: String,
}

async fn unknown(
    admin: &Admin,
    spec: &ListSpec,
    query: &[(&'static str, String)],
) -> Vec<UnknownName> {
    let mut notes = Vec::new();
    for filter in spec.filters {
        let FilterValues::Names(named) = filter.values else { continue };
        let given = query.iter().find(|(name, _)| *name == filter.parameter);
        let Some((parameter, values)) = given else { continue };
        if named == Named::Lead {
            notes.extend(unknown_leads(admin, parameter, values).await);
        }
        let Some(known) = named.of(admin).await else { continue };
        for value in values.split(',').filter(|value| !known.iter().any(|name| name == value)) {
            let meant = meant(value, known.iter().map(String::as_str));
            notes.push(UnknownName { parameter, value: value.to_owned(), meant });
        }
    }
    notes
}

/// The ids among `values` that are those of no lead. There may be many leads, so each is asked for.
async fn unknown_leads(admin: &Admin, parameter: &'static str, values: &str) -> Vec<UnknownName> {
    let spec = known::LeadList::SPEC;
    let mut notes = Vec::new();
    for id in values.split(',') {
        if let Err(AdminRefusal::This(refused)) = admin.get(&[spec.path, id], &[]).await
            && refused.status == 404
        {
            let meant = elsewhere(admin, &spec, id).await;
            notes.push(UnknownName { parameter, value: id.to_owned(), meant });
        }
    }
    notes
}

/// Why the object with this id was refused. If it is not there, and the id is that of an object of
/// another list, it says so.
pub(super) async fn or_elsewhere(
    admin: &Admin,
    spec: &ListSpec,
    id: &str,
    refused: &Refused,
) -> String {
    let elsewhere =
        if refused.status == 404 { elsewhere(admin, spec, id).await } else { String::new() };
    format!("{refused}{elsewhere}")
}

/// `; 7 is a lead: …` for each object of another list with this id.
async fn elsewhere(admin: &Admin, spec: &ListSpec, id: &str) -> String {
    let mut text = String::new();
    let may_be_id = id.bytes().all(|it| it.is_ascii_digit());
    for other in known::WITH_IDS.iter().filter(|other| may_be_id && other.path != spec.path) {
        if admin.get(&[other.path, id], &[]).await.is_ok() {
            let (noun, path) = (other.noun, other.path);
            text.push_str(&format!("; {id} is a {noun}: postroom {path} show {id}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::lists::ShowBy;

    #[test]
    fn a_name_is_compared_with_those_that_are_known() {
        let known = ["SMS_INBOUND_POST_PROCESS", "SELF_CHECK"];
        assert_eq!(meant("SELF_CHEK", known), ": did you mean `SELF_CHECK`?");
        assert_eq!(meant("sms_inbound", known), ": did you mean `SMS_INBOUND_POST_PROCESS`?");
        assert_eq!(meant("DELIVER", known), "");
    }

    #[test]
    fn each_list_with_ids_can_be_shown_by_path() {
        for spec in known::WITH_IDS {
            assert!(spec.id == "id" && spec.show == ShowBy::Path, "{}", spec.path);
        }
        assert!(known::WITH_IDS.iter().any(|spec| spec.path == known::JobList::SPEC.path));
    }
}
