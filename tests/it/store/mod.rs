//! The promises of the statements, on both databases.

mod audit;
mod caps;
mod changes;
mod chores;
mod deadlocks;
mod deliveries;
mod fencing;
mod g07_fair;
mod g08_in_order;
mod held;
mod inbox;
mod life;
mod lists;
mod merges;
mod migrations;
mod model;
mod nodes;
mod operations;
mod opt_outs;
mod overrides;
mod plans;
mod rescue;
mod sends;
mod subjects;
mod tools;
mod two_sessions;
