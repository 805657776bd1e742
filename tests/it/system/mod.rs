//! What an operator has around the daemon: the service manager, the files in `ops`, and commands
//! that look after a database.

mod service_manager;
