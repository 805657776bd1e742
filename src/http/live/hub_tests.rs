use super::*;
use futures_util::FutureExt as _;

fn values(pairs: &[(&str, &str)]) -> LiveValues {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn open(hub: &Hub, owner: &str, topics: &[Topic]) -> Result<UpdateStream, StreamRefusal> {
    hub.open(owner.to_owned(), None, topics.iter().copied().collect())
}

/// What the stream has to tell now.
fn told(stream: &mut UpdateStream) -> String {
    let mut text = String::new();
    while let Some(Some(bytes)) = stream.next().now_or_never() {
        text.push_str(std::str::from_utf8(&bytes).unwrap());
    }
    text
}

/// The same without the line that says when to come again.
fn opened(stream: &mut UpdateStream) -> String {
    let text = told(stream);
    let (retry, rest) = text.split_once("\n\n").unwrap();
    let ms: u64 = retry.strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((RETRY_MS..RETRY_MS + RETRY_JITTER_MS).contains(&ms), "{ms}");
    rest.to_owned()
}

#[tokio::test]
async fn a_stream_gets_all_values_and_then_those_that_change() {
    let hub = Hub::default();
    let mut first = open(&hub, "a", &[Topic::Pools, Topic::Job(7)]).unwrap();
    assert_eq!(opened(&mut first), "");
    let pools = |busy: &str| (Topic::Pools, values(&[("A/busy", busy), ("A/size", "8")]));
    let job = |status: &str| (Topic::Job(7), values(&[("status", status)]));
    hub.publish([pools("1"), job("pending"), (Topic::Config, values(&[("hash", "x")]))]);
    let expected = "event: pools\ndata: {\"id\":null,\"values\":{\"A/busy\":\"1\",\"A/size\":\"8\"}}\n\n\
        event: job/7\ndata: {\"id\":\"7\",\"values\":{\"status\":\"pending\"}}\n\n";
    assert_eq!(told(&mut first), expected);
    hub.publish([pools("1"), job("pending")]);
    assert_eq!(told(&mut first), "", "nothing has changed");
    hub.publish([pools("2"), job("pending")]);
    let expected = "event: pools\ndata: {\"id\":null,\"values\":{\"A/busy\":\"2\"}}\n\n";
    assert_eq!(told(&mut first), expected);
    // Who comes later gets all of it at once.
    let mut second = open(&hub, "a", &[Topic::Pools]).unwrap();
    let expected =
        "event: pools\ndata: {\"id\":null,\"values\":{\"A/busy\":\"2\",\"A/size\":\"8\"}}\n\n";
    assert_eq!(opened(&mut second), expected);
    hub.publish([(Topic::Pools, values(&[("A/size", "8")]))]);
    let expected = "event: pools\ndata: {\"id\":null,\"values\":{\"A/busy\":\"\"}}\n\n";
    assert_eq!(told(&mut second), expected, "what is gone is empty");
}

#[tokio::test]
async fn people_are_at_a_topic_while_their_streams_are_open() {
    let hub = Hub::default();
    let lead = Topic::Lead(7);
    let look = |person: Option<&str>, topic: Topic| {
        hub.open("a".to_owned(), person.map(str::to_owned), BTreeSet::from([topic])).unwrap()
    };
    let (dana, program) = (look(Some("dana"), lead), look(None, lead));
    let (again, kim) = (look(Some("dana"), lead), look(Some("kim"), Topic::Lead(8)));
    assert_eq!(hub.people_at(lead), BTreeSet::from(["dana".to_owned()]));
    drop((dana, program));
    assert_eq!(hub.people_at(lead).len(), 1, "another page of theirs is open");
    drop(again);
    assert!(hub.people_at(lead).is_empty());
    assert_eq!(hub.people_at(Topic::Lead(8)), BTreeSet::from(["kim".to_owned()]));
    drop(kim);
}

#[tokio::test]
async fn what_nobody_follows_is_forgotten() {
    let hub = Hub::default();
    let stream = open(&hub, "a", &[Topic::Job(7), Topic::Totals]).unwrap();
    let mut other = open(&hub, "a", &[Topic::Totals]).unwrap();
    assert_eq!(hub.topics(), BTreeMap::from([(Topic::Totals, 2), (Topic::Job(7), 1)]));
    hub.publish([(Topic::Job(7), values(&[("status", "running")]))]);
    drop(stream);
    assert_eq!(hub.topics(), BTreeMap::from([(Topic::Totals, 1)]));
    assert!(!hub.table().told.contains_key(&Topic::Job(7)));
    hub.publish([(Topic::Job(7), values(&[("status", "failed")]))]);
    assert_eq!(opened(&mut other), "");
    assert_eq!(hub.table().readers.len(), 1);
}

#[tokio::test]
async fn a_slow_reader_is_told_to_begin_again_and_gets_all_values() {
    let hub = Hub::default();
    let mut slow = open(&hub, "a", &[Topic::Totals]).unwrap();
    let mut quick = open(&hub, "a", &[Topic::Totals]).unwrap();
    for number in 0..1_000 {
        hub.publish([(Topic::Totals, values(&[("n", &number.to_string()), ("m", "1")]))]);
        assert!(!told(&mut quick).contains("resync"), "{number}");
    }
    let expected = "event: resync\ndata: {}\n\n\
        event: totals\ndata: {\"id\":null,\"values\":{\"m\":\"1\",\"n\":\"999\"}}\n\n";
    assert_eq!(told(&mut slow), expected);
    hub.publish([(Topic::Totals, values(&[("n", "7"), ("m", "1")]))]);
    let expected = "event: totals\ndata: {\"id\":null,\"values\":{\"n\":\"7\"}}\n\n";
    assert_eq!(told(&mut slow), expected);
}

#[tokio::test]
async fn streams_are_bounded_by_owner_and_in_all() {
    let hub = Hub::default();
    let mut streams: Vec<UpdateStream> =
        (0..OF_OWNER_MAX).map(|_| open(&hub, "dana", &[Topic::Totals]).unwrap()).collect();
    let refused = |owner: &str| open(&hub, owner, &[Topic::Totals]).err();
    assert_eq!(refused("dana"), Some(StreamRefusal::FullForOwner));
    for number in OF_OWNER_MAX..STREAMS_MAX {
        streams.push(open(&hub, &format!("user {number}"), &[Topic::Totals]).unwrap());
    }
    assert_eq!(refused("bob"), Some(StreamRefusal::Full));
    streams.remove(0);
    assert_eq!(refused("dana"), None);
    hub.end();
    assert_eq!(refused("bob"), Some(StreamRefusal::Draining));
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_lives_and_ends_at_once() {
    let hub = Hub::default();
    let mut stream = open(&hub, "a", &[Topic::Totals]).unwrap();
    opened(&mut stream);
    for _ in 0..3 {
        stream.comment_at = Instant::now() + Duration::from_millis(1);
        assert_eq!(stream.next().await, Some(COMMENT));
        assert!(stream.comment_at > Instant::now() + COMMENT_EVERY / 2);
    }
    let (bytes, ()) = tokio::join!(stream.next(), async { hub.end() });
    assert_eq!(bytes, None);
}
