//! All names that spans use, by the conventions of [`SCHEMA_URL`].
//!
//! Those of messaging and of models are still in development there, so they may change with the
//! URL. Values are ids, words and numbers: never a text, a name, an address or a secret.

/// The version of the conventions.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.37.0";
/// The name of what makes the spans.
pub(super) const SCOPE: &str = "postroom";

/// The resource.
pub(super) const SERVICE_NAME: &str = "service.name";
pub(super) const SERVICE_VERSION: &str = "service.version";
pub(super) const SERVICE_INSTANCE: &str = "service.instance.id";

// HTTP.
pub(crate) const HTTP_METHOD: &str = "http.request.method";
pub(crate) const HTTP_ROUTE: &str = "http.route";
pub(crate) const HTTP_STATUS: &str = "http.response.status_code";

// Messaging: jobs and sends.
pub(crate) const SYSTEM: &str = "messaging.system";
pub(crate) const OPERATION: &str = "messaging.operation.name";
pub(crate) const OPERATION_TYPE: &str = "messaging.operation.type";
pub(crate) const DESTINATION: &str = "messaging.destination.name";
pub(crate) const MESSAGE_ID: &str = "messaging.message.id";
pub(crate) const CONVERSATION: &str = "messaging.message.conversation_id";
pub(crate) const BATCH_COUNT: &str = "messaging.batch.message_count";
pub(crate) const MESSAGING_CLIENT: &str = "messaging.client.id";

// Models.
pub(crate) const MODEL_OPERATION: &str = "gen_ai.operation.name";
pub(crate) const MODEL_PROVIDER: &str = "gen_ai.provider.name";
pub(crate) const MODEL: &str = "gen_ai.request.model";
pub(crate) const INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
pub(crate) const OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";

/// Why a span failed: a word of a fixed set.
pub(crate) const ERROR: &str = "error.type";

// Ours.
pub(crate) const REQUEST_ID: &str = "request_id";
pub(crate) const CLIENT: &str = "postroom.client";
pub(crate) const CHANNEL: &str = "postroom.channel";
pub(crate) const OUTCOME: &str = "postroom.outcome";
pub(crate) const ATTEMPT: &str = "postroom.attempt";
pub(crate) const WAIT: &str = "postroom.wait_ms";
pub(crate) const HOP: &str = "postroom.hop";
pub(crate) const QUESTION: &str = "postroom.question";

/// The event of a webhook whose group is in the database.
pub(crate) const COMMITTED: &str = "committed";
