//! What strangers, neighbours, pages in a browser and other users of the machine cannot do.

mod browsers;
mod configs;
mod connections;
mod door;
mod files;
mod lists;
mod logs;
mod masks;
mod replays;
mod secrets;
mod shares;
mod strangers;
mod terminal;
mod timing;
mod tls;
