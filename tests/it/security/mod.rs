//! What strangers, neighbours, pages in a browser and other users of the machine cannot do.

mod browsers;
mod configs;
mod strangers;
mod timing;
mod connections;
mod door;
mod tls;
mod files;
mod lists;
mod secrets;
mod terminal;
mod replays;
mod shares;
