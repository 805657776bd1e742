//! Several daemons over one PostgreSQL keep together the promises of each.

mod caps;
mod notices;
mod overrides;
mod versions;
