//! Several daemons over one PostgreSQL: what each promises holds for all of them together.

mod caps;
mod notices;
mod versions;
