//! Leads that turn out to be one person.

use super::{
    inbox::{PHONE, draft, is_accepted, judges, put_one, with, with_message},
    life::{claim, end},
    tools::{Dice, assert_places, assert_whole, claim_suspects, drain, instant},
};
use crate::{
    on_both_databases,
    support::fixture::{Fixture, sms},
};
use postroom::{
    domain::{Identity, IdentityKind, JobStatus, Sentiment, Signal, job::FailureReason},
    store::{Answer, Inbound, Store, Transition},
};
use std::{sync::Arc, time::Duration};

const MAIL: &str = "dana@example.com";

/// A message of the lead with these identities.
fn by(key: &str, identities: &[(IdentityKind, &str)]) -> Inbound {
    let identities = identities.iter().map(|it| Identity::new(it.0, it.1)).collect();
    with(sms("a", PHONE, key, "hello"), |it| it.identities = identities)
}

fn phone() -> (IdentityKind, &'static str) {
    (IdentityKind::PHONE, PHONE)
}

fn mail() -> (IdentityKind, &'static str) {
    (IdentityKind::MAIL_ADDRESS, MAIL)
}

fn lead_of(answer: &Answer) -> i64 {
    match answer {
        Answer::Accepted { lead_id, .. } | Answer::Recorded { lead_id, .. } => *lead_id,
        Answer::Duplicate { lead_id, .. } => lead_id.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Two leads, the first known by its phone and the second by its address.
async fn two(db: &Fixture) -> (i64, i64) {
    let older = lead_of(&put_one(db, by("k1", &[phone()])).await);
    let younger = lead_of(&put_one(db, by("k2", &[mail()])).await);
    assert!(older < younger);
    (older, younger)
}

/// The webhook that shows them to be one.
fn both(key: &str) -> Inbound {
    by(key, &[mail(), phone()])
}

async fn leads(db: &Fixture) -> i64 {
    db.number("select count(*) from leads where merged_into is null").await
}

on_both_databases! {
    async fn the_younger_is_merged_into_the_older_with_all_it_has(db: Fixture) {
        let (older, younger) = two(&db).await;
        let answer = put_one(&db, both("k3")).await;
        assert!(is_accepted(&answer));
        assert_eq!(lead_of(&answer), older);
        assert_eq!(db.number(&format!("select merged_into from leads where id = {younger}")).await, older);
        for table in ["messages", "lead_identities"] {
            let left = format!("select count(*) from {table} where lead_id <> {older}");
            assert_eq!(db.number(&left).await, 0, "{table}");
        }
        // One line, one head; all of it is worked off, one after the other.
        assert_eq!(db.number("select count(*) from job_ready").await, 1);
        assert_eq!(db.number("select count(*) from job_blocked").await, 2);
        assert_whole(&db).await;
        assert_eq!(claim(&db.store, 10).await.len(), 1);
        assert_eq!(lead_of(&put_one(&db, by("k4", &[mail()])).await), older);
    }

    async fn nothing_is_answered_twice_for_it(db: Fixture) {
        let (older, _) = two(&db).await;
        for claimed in claim(&db.store, 10).await {
            assert!(end(&db.store, &claimed, Transition::Succeed(vec![draft()])).await);
        }
        assert_eq!(db.number("select count(*) from drafts where status = 'pending'").await, 2);
        let connected = with(both("x"), |it| it.signal = Signal::Connected);
        put_one(&db, connected).await;
        let newest = format!("select newest_inbound_id from leads where id = {older}");
        assert_eq!(db.number("select message_id from drafts where status = 'pending'").await, db.number(&newest).await);
        assert_eq!(db.texts("select decided_by from drafts where status = 'superseded'").await, ["merge"]);
        assert_eq!(db.number(&format!("select count(*) from drafts where lead_id = {older}")).await, 2);
    }

    async fn what_keeps_messages_from_one_keeps_them_from_both(db: Fixture) {
        two(&db).await;
        for claimed in claim(&db.store, 10).await {
            assert!(end(&db.store, &claimed, Transition::Succeed(vec![draft(), judges(Sentiment::Interested)])).await);
        }
        let out = with(by("x", &[mail()]), |it| it.signal = Signal::OptOut { reason: "lead_unsubscribed".to_owned() });
        put_one(&db, out).await;
        put_one(&db, both("k3")).await;
        assert_eq!(db.texts("select status from leads where merged_into is null").await, ["blacklisted"]);
        assert_eq!(db.texts("select opted_out_reason from leads where merged_into is null").await, ["lead_unsubscribed"]);
        assert_eq!(db.number("select count(*) from drafts where status = 'pending'").await, 0);
        assert_eq!(db.texts("select distinct decided_by from drafts").await, ["opt_out"]);
    }

    async fn two_people_to_one_provider_are_not_merged(db: Fixture) {
        let first = lead_of(&put_one(&db, by("k1", &[(postroom::channels::sms::GHL_CONTACT, "c1"), phone()])).await);
        let second = lead_of(&put_one(&db, by("k2", &[(postroom::channels::sms::GHL_CONTACT, "c2"), mail()])).await);
        let answer = put_one(&db, both("k3")).await;
        assert_eq!(lead_of(&answer), second, "the first in the order of matching");
        assert_ne!(first, second);
        assert_eq!(leads(&db).await, 2);
    }

    async fn leads_that_meet_in_the_group_that_makes_them_are_one(db: Fixture) {
        let group = Arc::new([by("k1", &[phone()]), by("k2", &[mail()]), both("k3"), by("k4", &[mail()])]);
        let answers = db.store.inbox().put(group).await.unwrap();
        assert!(answers.iter().all(is_accepted), "{answers:?}");
        assert!(answers.iter().all(|it| lead_of(it) == lead_of(&answers[0])), "{answers:?}");
        assert_eq!(db.number("select count(*) from leads").await, 1);
        assert_eq!(db.number("select count(*) from job_ready").await, 1);
        assert_eq!(db.number("select count(*) from job_blocked").await, 3);
        assert_eq!(db.number("select count(distinct lead_id) from lead_identities").await, 1);
        assert_whole(&db).await;
        // A new one that turns out to be a stored one.
        let linkedin = (postroom::channels::linkedin::MEMBER, "ACoAA1");
        let group = Arc::new([by("k5", &[linkedin]), by("k6", &[linkedin, mail()])]);
        let answers = db.store.inbox().put(group).await.unwrap();
        assert!(answers.iter().all(is_accepted), "{answers:?}");
        assert_eq!(db.number("select count(*) from leads").await, 1);
        assert_eq!(db.number("select count(*) from job_ready").await, 1);
    }

    async fn three_leads_become_one_and_a_chain_is_one_step(db: Fixture) {
        let linkedin = (postroom::channels::linkedin::MEMBER, "ACoAA1");
        let (older, younger) = two(&db).await;
        let youngest = lead_of(&put_one(&db, by("k3", &[linkedin])).await);
        put_one(&db, by("k4", &[linkedin, mail()])).await;
        assert_eq!(db.number(&format!("select merged_into from leads where id = {youngest}")).await, younger);
        put_one(&db, both("k5")).await;
        assert_eq!(db.number(&format!("select count(*) from leads where merged_into = {older}")).await, 2);
        assert_eq!(leads(&db).await, 1);
        assert_whole(&db).await;
        assert_eq!(drain(&db.store, 10).await, 5);
    }

    async fn a_duplicate_of_a_message_of_the_younger_has_the_older_as_its_lead(db: Fixture) {
        let (older, _) = two(&db).await;
        let hinted = with_message(by("k2", &[mail()]), |it| it.hint = Some(Sentiment::Interested));
        let group = Arc::new([both("k3"), hinted, by("k1", &[phone()])]);
        let answers = db.store.inbox().put(group).await.unwrap();
        assert!(answers.iter().all(|it| lead_of(it) == older), "{answers:?}");
        assert_eq!(db.number("select count(*) from messages where sentiment = 'Interested'").await, 1);
    }

    /// A running job ends where it is; a job that comes back enters the older lead's line.
    async fn a_running_head_of_the_younger_comes_back_into_the_older_line(db: Fixture) {
        let reason = FailureReason::Error;
        let backs = [
            Transition::Retry { after: Duration::ZERO, reason, error: "no".to_owned() },
            Transition::Snooze { after: Duration::ZERO },
            Transition::Postpone { after: Duration::ZERO },
            Transition::Release,
        ];
        for (n, back) in backs.into_iter().enumerate() {
            let (first, second) = (format!("+1555100{n}"), format!("p{n}@example.com"));
            let (phone, mail) = ((IdentityKind::PHONE, first.as_str()), (IdentityKind::MAIL_ADDRESS, second.as_str()));
            let older = lead_of(&put_one(&db, by(&format!("{n}/1"), &[phone])).await);
            let running = claim(&db.store, 10).await;
            assert!(end(&db.store, &running[0], Transition::Succeed(Vec::new())).await);
            put_one(&db, by(&format!("{n}/2"), &[mail])).await;
            let running = claim(&db.store, 10).await;
            assert_eq!(running.len(), 1);
            put_one(&db, by(&format!("{n}/3"), &[mail, phone])).await;
            assert_eq!(db.number("select count(*) from job_ready where node is not null").await, 1, "it runs on");
            assert!(end(&db.store, &running[0], back.clone()).await, "{back:?}");
            let lines = format!("select count(*) from job_ready where line <> {older}");
            assert_eq!(db.number(&lines).await, 0, "{back:?}");
            assert_whole(&db).await;
            assert_eq!(drain(&db.store, 10).await, 2, "{back:?}");
            assert_whole(&db).await;
        }
    }

    async fn an_end_of_a_running_head_of_the_younger_is_the_older_lead_s(db: Fixture) {
        let (older, younger) = two(&db).await;
        let running = claim(&db.store, 10).await;
        assert_eq!(running.len(), 2);
        put_one(&db, with(both("x"), |it| it.signal = Signal::Connected)).await;
        let of_younger = running.iter().find(|it| it.line == younger).unwrap();
        let effects = vec![judges(Sentiment::MeetingRequested), draft()];
        assert!(end(&db.store, of_younger, Transition::Succeed(effects)).await);
        assert_eq!(db.texts(&format!("select status from leads where id = {older}")).await, ["meeting-requested"]);
        assert_eq!(db.number("select lead_id from drafts where status = 'pending'").await, older);
        let of_older = running.iter().find(|it| it.line == older).unwrap();
        assert!(end(&db.store, of_older, Transition::Succeed(vec![draft()])).await);
        assert_eq!(db.number("select count(*) from drafts where status = 'pending'").await, 1);
    }

    async fn heads_that_wait_for_their_retry_and_snoozed_jobs_follow(db: Fixture) {
        let (older, younger) = two(&db).await;
        put_one(&db, by("k3", &[mail()])).await;
        for claimed in claim(&db.store, 10).await {
            let after = Duration::from_secs(3_600);
            let transition = if claimed.line == younger {
                Transition::Retry { after, reason: FailureReason::Error, error: "no".to_owned() }
            } else {
                Transition::Snooze { after }
            };
            assert!(end(&db.store, &claimed, transition).await);
        }
        put_one(&db, both("k4")).await;
        assert_eq!(db.number(&format!("select count(*) from job_ready where line <> {older}")).await, 0);
        assert_eq!(db.number("select count(*) from job_later").await, 2);
        assert_whole(&db).await;
        let soon = instant(&db, -1);
        db.execute(&format!("update job_later set run_at = {soon}")).await;
        assert_eq!(drain(&db.store, 10).await, 4);
    }

    /// A snoozed job of the younger waits with the younger's line; when it is due it enters the
    /// older's.
    async fn what_is_due_later_enters_the_line_of_the_older(db: Fixture) {
        let (older, younger) = two(&db).await;
        let running = claim(&db.store, 10).await;
        let of_younger = running.iter().find(|it| it.line == younger).unwrap();
        assert!(end(&db.store, of_younger, Transition::Snooze { after: Duration::ZERO }).await);
        put_one(&db, with(both("x"), |it| it.signal = Signal::Connected)).await;
        assert_eq!(db.number(&format!("select line from job_later where job_id = {}", of_younger.job.id)).await, younger);
        while db.store.queue().make_due().await.unwrap() == 0 {}
        assert_eq!(db.number("select count(*) from job_blocked").await, 1, "behind the older's head, which runs");
        assert_eq!(db.number("select line from job_blocked").await, older);
    }

    /// R3: two channels tell of one new person at once, over and over, on two nodes; then comes who
    /// they are.
    async fn r3_two_channels_at_once_make_one_lead(db: Fixture) {
        let other = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
        let people = 40;
        let tell = async |store: Store, seed: u64| {
            let mut dice = Dice::new(seed);
            for n in 0..people {
                let (phone, mail) = (format!("+1555300{n:04}"), format!("r{n}@example.com"));
                let contact = format!("c{n}");
                let (phone, mail) = ((IdentityKind::PHONE, phone.as_str()), (IdentityKind::MAIL_ADDRESS, mail.as_str()));
                let contact = (postroom::channels::sms::GHL_CONTACT, contact.as_str());
                let told = if seed == 1 {
                    vec![by(&format!("{n}/a"), &[contact, phone]), by(&format!("{n}/b"), &[contact, mail])]
                } else {
                    vec![by(&format!("{n}/c"), &[mail]), by(&format!("{n}/d"), &[mail, phone])]
                };
                dice.dawdle().await;
                let answers = store.inbox().put(Arc::from(told)).await.unwrap();
                assert!(answers.iter().all(is_accepted), "{answers:?}");
            }
        };
        tokio::join!(tell(db.store.clone(), 1), tell(other.clone(), 2));
        assert_eq!(leads(&db).await, people);
        let of_merged = "select count(*) from messages m join leads l on l.id = m.lead_id where l.merged_into is not null";
        assert_eq!(db.number(of_merged).await, 0);
        assert_eq!(db.number("select count(*) from lead_identities").await, 3 * people);
        let of_merged = "select count(*) from lead_identities i join leads l on l.id = i.lead_id where l.merged_into is not null";
        assert_eq!(db.number(of_merged).await, 0);
        assert_places(&db).await;
        let lines = "select count(*) from job_blocked b join leads l on l.id = b.line where l.merged_into is not null";
        assert_eq!(db.number(lines).await, 0);
        assert_eq!(drain(&db.store, 25).await, 4 * usize::try_from(people).unwrap());
    }

    /// Merges, claims and ends at the same time: no job is lost and nothing hangs.
    #[ignore = "long: `just long`"]
    async fn merges_while_jobs_run_lose_none(db: Fixture) {
        let other = if db.is_sqlite() { db.store.clone() } else { db.another_node().await };
        let people: i64 = 60;
        let tell = async {
            for n in 0..people {
                let (phone, mail) = (format!("+1555400{n:04}"), format!("m{n}@example.com"));
                let (phone, mail) = ((IdentityKind::PHONE, phone.as_str()), (IdentityKind::MAIL_ADDRESS, mail.as_str()));
                put_one(&db, by(&format!("{n}/a"), &[phone])).await;
                put_one(&db, by(&format!("{n}/b"), &[mail])).await;
                put_one(&db, by(&format!("{n}/c"), &[mail])).await;
                put_one(&db, by(&format!("{n}/d"), &[mail, phone])).await;
            }
        };
        let work = async {
            let mut dice = Dice::new(3);
            let mut ended = 0;
            while ended < 4 * people {
                other.queue().make_due().await.unwrap();
                for claimed in claim(&other, 5).await {
                    dice.dawdle().await;
                    let transition = match dice.roll(8) {
                        0 if claimed.job.attempt < 5 => Transition::Retry {
                            after: Duration::ZERO,
                            reason: FailureReason::Error,
                            error: "no".to_owned(),
                        },
                        1 => Transition::Snooze { after: Duration::ZERO },
                        2 => Transition::Release,
                        _ => Transition::Succeed(vec![draft(), judges(Sentiment::Interested)]),
                    };
                    let ends = matches!(transition, Transition::Succeed(_));
                    assert!(end(&other, &claimed, transition).await, "nobody else has moved it");
                    ended += i64::from(ends);
                }
            }
        };
        tokio::join!(tell, work);
        assert_eq!(leads(&db).await, people);
        assert_eq!(db.number("select count(*) from job_attempts where ended").await, 4 * people);
        let twice = "select count(*) from (select lead_id from drafts where status = 'pending' group by lead_id having count(*) > 1) as twice";
        assert_eq!(db.number(twice).await, 0);
    }

    /// A rescued job stays a suspect in the line of the lead that it is merged into: it gets no
    /// turn.
    async fn a_rescued_job_stays_a_suspect_in_the_line_of_the_older(db: Fixture) {
        let rescue = |after| Transition::Retry { after, reason: FailureReason::Rescued, error: "x".to_owned() };
        let due = async || {
            let soon = instant(&db, -1);
            db.execute(&format!("update job_later set run_at = {soon}")).await;
            db.execute(&format!("update job_ready set run_at = {soon} where run_at is not null")).await;
            while db.store.queue().make_due().await.unwrap() > 0 {}
        };
        let hour = Duration::from_secs(3_600);
        // Once it waits for its retry while its lead is merged, once it is rescued afterwards.
        for is_rescued_before in [true, false] {
            let (older, younger) = two(&db).await;
            let running = claim(&db.store, 10).await;
            let (of_older, of_younger) = (
                running.iter().find(|it| it.line == older).unwrap(),
                running.iter().find(|it| it.line == younger).unwrap(),
            );
            if is_rescued_before {
                assert!(end(&db.store, of_younger, rescue(hour)).await);
            }
            put_one(&db, with(both("x"), |it| it.signal = Signal::Connected)).await;
            if !is_rescued_before {
                assert!(end(&db.store, of_younger, rescue(hour)).await);
            }
            // It is due while the older's head runs, and is the next.
            due().await;
            assert_eq!(db.number("select count(*) from job_blocked").await, 1);
            assert!(end(&db.store, of_older, Transition::Succeed(Vec::new())).await);
            assert!(claim(&db.store, 10).await.is_empty(), "it gets no turn");
            assert_whole(&db).await;
            let suspects = claim_suspects(&db.store).await;
            assert_eq!(suspects.iter().map(|it| (it.line, it.job.id)).collect::<Vec<_>>(), [(older, of_younger.job.id)]);
            // It gets none either if the line is empty when it is due.
            assert!(end(&db.store, &suspects[0], rescue(hour)).await);
            due().await;
            assert!(claim(&db.store, 10).await.is_empty());
            assert_eq!(drain(&db.store, 10).await, 1);
            assert_whole(&db).await;
            for table in ["leads", "lead_identities", "message_keys", "messages", "drafts"] {
                db.execute(&format!("delete from {table}")).await;
            }
        }
    }

    /// The second merge of two finds a job of the first that still runs, in the line of a lead that
    /// is none now.
    async fn a_job_that_runs_through_two_merges_is_seen_and_can_be_cancelled(db: Fixture) {
        let (first, second, third) = ((IdentityKind::PHONE, PHONE), mail(), (postroom::channels::sms::GHL_CONTACT, "c1"));
        let oldest = lead_of(&put_one(&db, by("k1", &[first])).await);
        let older = lead_of(&put_one(&db, by("k2", &[second])).await);
        let young = lead_of(&put_one(&db, by("k3", &[third])).await);
        // A job of the youngest moves into the line of the next older, and runs there.
        let running = claim(&db.store, 10).await;
        let of = |line: i64| running.iter().find(|it| it.line == line).unwrap();
        assert!(end(&db.store, of(older), Transition::Succeed(Vec::new())).await);
        let retry = Transition::Retry { after: Duration::ZERO, reason: FailureReason::Error, error: "no".to_owned() };
        assert!(end(&db.store, of(young), retry).await);
        put_one(&db, with(by("x", &[second, third]), |it| it.signal = Signal::Connected)).await;
        let soon = instant(&db, -1);
        db.execute(&format!("update job_later set run_at = {soon}")).await;
        while db.store.queue().make_due().await.unwrap() == 0 {}
        let again = claim(&db.store, 10).await;
        let job = of(young).job.id;
        assert_eq!(again.iter().map(|it| (it.line, it.job.id)).collect::<Vec<_>>(), [(older, job)]);
        put_one(&db, with(by("y", &[first, second]), |it| it.signal = Signal::Connected)).await;
        assert_eq!(db.number(&format!("select count(*) from leads where merged_into = {oldest}")).await, 2);
        let desk = db.store.desk();
        let seen = desk.job(job).await.unwrap().unwrap().job;
        assert_eq!((seen.status, seen.node), (JobStatus::Running, Some(db.store.node())));
        assert_eq!(desk.cancel(job).await.unwrap().status, JobStatus::Cancelled);
        assert!(!end(&db.store, &again[0], Transition::Succeed(Vec::new())).await, "its fence is gone");
        assert!(end(&db.store, of(oldest), Transition::Succeed(Vec::new())).await);
    }
}
