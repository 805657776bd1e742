//! Who uses the commands, for the audit log of the daemon.

use std::env;

/// The variables with the name of a user: the one behind `sudo` comes first.
const VARIABLES: [&str; 3] = ["SUDO_USER", "USER", "LOGNAME"];

/// The name of the user of this process; if the environment has none, the number.
pub(super) fn name() -> String {
    let named = VARIABLES.iter().filter_map(|name| env::var(name).ok());
    let mut usable =
        named.filter(|name| !name.is_empty() && name.bytes().all(|it| it.is_ascii_graphic()));
    usable.next().unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}
