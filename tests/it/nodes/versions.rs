//! Two versions of the program over one database, one of which knows a kind more.

use crate::{
    own_daemon::KNOWS_MORE,
    support::{
        both::{Peek, Place},
        daemon::{Daemon, Options, Until},
        eventually,
        leftovers::Leftover,
    },
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const CONFIG: &str = "[supervisor]\ntick = \"100ms\"\nheartbeat = \"100ms\"\nlease = \"400ms\"\n\
    [pools.default]\nbackoff = { base = \"10ms\", cap = \"100ms\" }\n[[clients]]\nid = \"fine\"\n";
/// Jobs of the kind that only one knows.
const NOVEL: i64 = 3;

async fn until(peek: &Peek, count: i64, sql: &str) {
    eventually(PATIENCE, async || (peek.number(sql).await >= count).then_some(())).await;
}

/// A job that both know is done: so the other jobs were there to be claimed, too.
async fn works(peek: &Peek, job: i64) {
    peek.put_job(job, "BESIDE", "fine", 5).await;
    until(peek, 1, &format!("select count(*) from job_attempts where job_id = {job} and ended"))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_know_a_kind_never_decides_about_its_jobs() {
    let Some(place) = Place::postgres() else { return };
    let old = Options { has_own_kinds: true, ..place.options(CONFIG) };
    let knowing = vec![(KNOWS_MORE.to_owned(), "1".to_owned())];
    let new = Options { env: knowing, ..old.clone() };
    let mut old = Daemon::start(old).await;
    old.may_leave(
        Leftover::Panic,
        "its start ends with an error, on which the test program panics",
    );
    let peek = Peek::of(&old).await;
    peek.put_jobs(0, NOVEL, "NOVEL", "fine").await;
    works(&peek, 1_000).await;
    let untouched =
        "select count(*) from job_ready where kind = 'NOVEL' and node is null and run = 0";
    assert_eq!(peek.number(untouched).await, NOVEL, "claimed by a node that does not know them");
    // Those that both know fill the places of the old node, so that the new one gets some.
    peek.put_jobs(100, 30, "LINGERS", "fine").await;
    let first = Daemon::start(new.clone()).await;
    let dead = "(select max(id) from nodes where role = 'all')";
    let of_new = format!("from job_ready where node = {dead} and kind");
    until(&peek, NOVEL, &format!("select count(*) {of_new} = 'NOVEL'")).await;
    until(&peek, 1, &format!("select count(*) {of_new} = 'LINGERS'")).await;
    let dead = peek.number(&format!("select {dead}")).await;
    first.kill_9();
    // The old one rescues what it knows.
    let rescued = format!(
        "from job_attempts a join jobs j on j.id = a.job_id where a.outcome = 'rescued' and a.node = {dead}"
    );
    until(&peek, 1, &format!("select count(*) {rescued} and j.kind = 'LINGERS'")).await;
    works(&peek, 1_001).await;
    let claimed = format!(
        "select count(*) from job_ready where kind = 'NOVEL' and node = {dead} and run = 1"
    );
    assert_eq!(peek.number(&claimed).await, NOVEL, "moved by a node that does not know them");
    let attempts = "from job_attempts a join jobs j on j.id = a.job_id where j.kind = 'NOVEL'";
    assert_eq!(peek.number(&format!("select count(*) {attempts}")).await, 0);
    // The node is forgotten, as after an hour; its jobs are not.
    peek.execute(&format!("delete from nodes where id = {dead}")).await;
    let second = Daemon::start(new).await;
    second.may_leave(Leftover::Unfinished, "`LINGERS` runs for longer than any test");
    until(
        &peek,
        NOVEL,
        &format!("select count(*) {attempts} and a.ended and a.outcome = 'succeeded'"),
    )
    .await;
    let rescued = format!("select count(*) {rescued} and j.kind = 'NOVEL'");
    assert_eq!(peek.number(&rescued).await, NOVEL);
    let all = 2 * NOVEL;
    assert_eq!(peek.number(&format!("select count(*) {attempts}")).await, all);
    assert!(!old.log().contains("ERROR"), "{}", old.log());

    // The newer version has changed the schema: a running node goes on, and a start is refused.
    peek.execute(
        "insert into seaql_migrations (version, applied_at) values ('m20990101_000001_later', 1)",
    )
    .await;
    drop(second);
    works(&peek, 1_002).await;
    old.kill_9();
    old.set_until(Until::Started);
    old.start_again().await;
    assert!(!old.wait(PATIENCE).await.success());
    let told = "its schema is that of a newer Postroom, which has applied m20990101_000001_later: start that version or a later one";
    assert!(old.log().contains(told), "{}", old.log());
}
