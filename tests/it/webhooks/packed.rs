//! Bodies as some programs send them: behind a byte order mark, packed, to a path that ends with a
//! slash.

use crate::{
    on_both_daemons,
    support::{
        both::Peek,
        daemon::Daemon,
        web::{Answer, ask, sms},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use postroom::channels::{AnyChannel, smartlead::Smartlead};
use reqwest::Method;
use ring::hmac;
use serde_json::Value;
use std::io::Write;

const CONFIG: &str = r#"
[server]
body_limit = "64KiB"
[[clients]]
id = "open"
[clients.channels.sms]
[[clients]]
id = "closed"
[clients.channels.sms]
secret = "the-right-secret"
[clients.channels.smartlead]
secret = "the-right-secret"
[[clients]]
id = "signed"
channels.sms.signature = { scheme = "standard_webhooks", secrets = ["whsec_c2VjcmV0LW9uZS1vZi0xNg=="] }
"#;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// An SMS that Brotli's own library has packed, and one of 64 MiB of blanks.
const BROTLI: &str = "1bcd00c08cc338167cd11469e331429259f86f6ea9bfbab23f189817a26216710b0703e53830ac755866fa82b8\
    2de4bef3bf1f5e1e35295804c1de8dd600e1a62b96a40e704cc3db73c1f0bfac83279ae7984614c48e07d82d6e02eb064953a9cf2d4b0\
    4de00e7c104762c3059a0c6831a433cbd7e1104f650b2fbf8a68ddeae2209cc99283143815f597107abf9ab387e";
const BROTLI_BOMB: &str = "cbffff3ff82540e2b14020f7fe8fffff7ff04b00c4611180eefd1fffffffe0970088c30200ddfb3ffeffffc12\
    f0110870500baf77ffcffff835f02200e0b0074effff8ffff07bf04401c1600e8defff1ffff0f7e0980382c00d0bdffcbffff3ffc1200\
    715800a07bff07";

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |it: u8| u8::try_from(char::from(it).to_digit(16).unwrap()).unwrap();
    hex.as_bytes().chunks(2).map(|it| digit(it[0]) << 4 | digit(it[1])).collect()
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

fn deflate(text: &[u8]) -> Vec<u8> {
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::default());
    packed.write_all(text).unwrap();
    packed.finish().unwrap()
}

fn marked(text: &str) -> Vec<u8> {
    [BYTE_ORDER_MARK, text.as_bytes()].concat()
}

async fn post(daemon: &Daemon, client: &str, encoding: &str, body: Vec<u8>) -> Answer {
    let request = daemon.webhook("sms", client).header("content-encoding", encoding);
    ask(request.body(body)).await
}

/// Posts with a signature over `signed`, whatever the body is.
async fn post_signed(daemon: &Daemon, encoding: &str, body: Vec<u8>, signed: &[u8]) -> Answer {
    let (id, at) = ("msg_1", postroom::store::wall_clock().as_millis() / 1_000);
    let text = [format!("{id}.{at}.").as_bytes(), signed].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret-one-of-16");
    let signature = format!("v1,{}", STANDARD.encode(hmac::sign(&key, &text)));
    let request = daemon
        .webhook("sms", "signed")
        .header("content-encoding", encoding)
        .header("webhook-id", id)
        .header("webhook-timestamp", at.to_string())
        .header("webhook-signature", signature);
    ask(request.body(body)).await
}

on_both_daemons! {
    async fn a_byte_order_mark_before_the_json_is_passed_over(place: Place) {
        let daemon = place.start(CONFIG).await;
        for number in 0..2 {
            let text = sms(number, "with a mark").to_string();
            let first = ask(daemon.webhook("sms", "open").body(marked(&text))).await;
            assert_eq!(first.outcome(), "accepted", "{first:?}");
            let again = ask(daemon.webhook("sms", "open").body(text)).await;
            assert_eq!((again.outcome(), again.job_ids()), ("duplicate", first.job_ids()));
        }
        let unknown = r#"{"hello": "world"}"#;
        let held = ask(daemon.webhook("sms", "open").body(marked(unknown))).await;
        assert_eq!(held.outcome(), "quarantined", "{held:?}");
        let peek = Peek::of(&daemon).await;
        let kept = "select payload from messages union all select payload from quarantine";
        for payload in peek.texts(kept).await {
            assert!(serde_json::from_str::<Value>(&payload).is_ok(), "{payload:?}");
        }
        // The signature covers the bytes with their mark.
        let text = marked(&sms(2, "with a mark").to_string());
        let unmarked = &text[BYTE_ORDER_MARK.len()..];
        let refused = post_signed(&daemon, "identity", text.clone(), unmarked).await;
        refused.is_problem(401, "unauthenticated");
        let taken = post_signed(&daemon, "identity", text.clone(), &text).await;
        assert_eq!(taken.outcome(), "accepted", "{taken:?}");
        for body in [marked(""), marked("\u{feff}{}"), marked("{}x"), marked("not json")] {
            let answer = ask(daemon.webhook("sms", "open").body(body)).await;
            answer.is_problem(400, "not-json");
        }
    }

    async fn a_packed_body_is_unpacked(place: Place) {
        let daemon = place.start(CONFIG).await;
        let pack = |encoding: &str, text: &[u8]| match encoding {
            "identity" | "" => text.to_vec(),
            "gzip" | "GZip" | "x-gzip" => gzip(text),
            "deflate" => zlib(text),
            "deflate " => deflate(text),
            "gzip, identity, deflate" => zlib(&gzip(text)),
            other => panic!("{other}"),
        };
        let encodings =
            ["identity", "", "gzip", "GZip", "x-gzip", "deflate", "deflate ", "gzip, identity, deflate"];
        for (number, encoding) in (0..).zip(encodings) {
            let text = sms(number, "packed").to_string();
            let packed = pack(encoding, text.as_bytes());
            let first = post(&daemon, "open", encoding, packed).await;
            assert_eq!(first.outcome(), "accepted", "{encoding}: {first:?}");
            let plain = ask(daemon.webhook("sms", "open").body(text)).await;
            assert_eq!((plain.outcome(), plain.job_ids()), ("duplicate", first.job_ids()));
        }
        let first = post(&daemon, "open", "br", bytes(BROTLI)).await;
        assert_eq!(first.outcome(), "accepted", "{first:?}");
        let again = post(&daemon, "open", "br, gzip", gzip(&bytes(BROTLI))).await;
        assert_eq!((again.outcome(), again.job_ids()), ("duplicate", first.job_ids()));
        let marked = gzip(&marked(&sms(100, "packed behind a mark").to_string()));
        assert_eq!(post(&daemon, "open", "gzip", marked).await.outcome(), "accepted");
        let peek = Peek::of(&daemon).await;
        let texts = peek.texts("select body from messages order by id").await;
        assert_eq!((texts.len(), texts[8].as_str()), (10, "packed with Brotli"));
    }

    async fn the_limit_holds_for_what_is_packed_and_for_what_it_unpacks_to(place: Place) {
        let daemon = place.start(CONFIG).await;
        let blanks = gzip(&vec![b' '; 16 << 20]);
        assert!(blanks.len() < 64 << 10, "{} bytes go over the wire", blanks.len());
        let twice = gzip(&gzip(&vec![b' '; 64 << 20]));
        // Of the smallest size that is too large.
        let just_over = gzip(&vec![b' '; (64 << 10) + 1]);
        for (encoding, body) in [
            ("gzip", &blanks),
            ("gzip, gzip", &twice),
            ("gzip", &just_over),
            ("br", &bytes(BROTLI_BOMB)),
        ] {
            post(&daemon, "open", encoding, body.clone()).await.is_problem(413, "too-large");
            // Where the secret may be in the body, the size comes before it, known to nobody or
            // not.
            for client in ["open", "closed", "nobody"] {
                let request = daemon.webhook("smartlead", client);
                let request = request.header("content-encoding", encoding).body(body.clone());
                ask(request).await.is_problem(413, "too-large");
            }
            // Where it cannot be, nobody's body is read.
            for client in ["closed", "nobody"] {
                let answer = post(&daemon, client, encoding, body.clone()).await;
                answer.is_problem(401, "unauthenticated");
            }
        }
        let (mut noise, mut bits) = (Vec::new(), 1_u32);
        while noise.len() < 70_000 {
            bits ^= bits << 13;
            bits ^= bits >> 17;
            bits ^= bits << 5;
            noise.extend_from_slice(&bits.to_le_bytes());
        }
        let packed = gzip(&noise);
        assert!(packed.len() > 64 << 10);
        post(&daemon, "open", "gzip", packed).await.is_problem(413, "too-large");
        let mut fitting = sms(1, "fits").to_string().into_bytes();
        fitting.resize(64 << 10, b' ');
        assert_eq!(post(&daemon, "open", "gzip", gzip(&fitting)).await.outcome(), "accepted");
    }

    async fn an_encoding_that_is_not_known_is_refused_by_its_name(place: Place) {
        let daemon = place.start(CONFIG).await;
        let text = sms(1, "hello").to_string().into_bytes();
        for (encoding, name) in [
            ("zstd", "`zstd`"),
            ("compress", "`compress`"),
            ("gzip, aes128gcm", "`aes128gcm`"),
            ("utf-8", "`utf-8`"),
            ("gzip, gzip, gzip, gzip", "4 times"),
        ] {
            let answer = post(&daemon, "open", encoding, text.clone()).await;
            answer.is_problem(415, "unsupported-encoding");
            assert!(answer.field("detail").contains(name), "{answer:?}");
            assert_eq!(answer.header("accept-encoding"), "gzip, deflate, br, identity");
        }
        let metrics = ask(daemon.get("/metrics")).await.text;
        let counted = r#"postroom_webhooks_total{channel="sms",outcome="unsupported_encoding"} 5"#;
        assert!(metrics.contains(counted), "{metrics}");
    }

    async fn what_cannot_be_unpacked_is_told_so_to_whom_it_may_concern(place: Place) {
        let daemon = place.start(CONFIG).await;
        let text = sms(1, "hello").to_string().into_bytes();
        let cut = gzip(&text)[..30].to_vec();
        for (encoding, body) in
            [("gzip", text.clone()), ("gzip", cut), ("br", text), ("deflate", vec![0xff; 9]), ("gzip", Vec::new())]
        {
            let answer = post(&daemon, "open", encoding, body.clone()).await;
            answer.is_problem(400, "not-json");
            assert!(answer.field("detail").contains(encoding), "{answer:?}");
            post(&daemon, "closed", encoding, body).await.is_problem(401, "unauthenticated");
        }
    }

    async fn a_signature_is_over_the_bytes_as_received(place: Place) {
        let daemon = place.start(CONFIG).await;
        let text = sms(1, "signed and packed").to_string().into_bytes();
        let packed = gzip(&text);
        let answer = post_signed(&daemon, "gzip", packed.clone(), &text).await;
        answer.is_problem(401, "unauthenticated");
        let answer = post_signed(&daemon, "gzip", packed.clone(), &packed).await;
        assert_eq!(answer.outcome(), "accepted", "{answer:?}");
        // The same delivery, packed otherwise: the same body.
        let again = post_signed(&daemon, "deflate", zlib(&text), &zlib(&text)).await;
        assert_eq!((again.outcome(), again.job_ids()), ("duplicate", answer.job_ids()));
    }

    async fn a_secret_in_a_packed_body_is_found(place: Place) {
        let daemon = place.start(CONFIG).await;
        let mut body = AnyChannel::sample(&Smartlead, None, 1).unwrap();
        for (secret, status) in [("wrong", 401), ("the-right-secret", 200)] {
            body["secret_key"] = secret.into();
            let request = daemon.webhook("smartlead", "closed").header("content-encoding", "gzip");
            let answer = ask(request.body(gzip(body.to_string().as_bytes()))).await;
            assert_eq!(answer.status, status, "{answer:?}");
        }
    }

    async fn a_slash_at_the_end_of_the_path_is_forgiven(place: Place) {
        let daemon = place.start(CONFIG).await;
        let url = |path: &str| daemon.url(path);
        let post = |path: &str, number| {
            daemon.http.post(url(path)).json(&sms(number, "to a path with a slash"))
        };
        let first = ask(post("/webhooks/sms/open/", 1)).await;
        assert_eq!(first.outcome(), "accepted", "{first:?}");
        let again = ask(post("/webhooks/sms/open", 1)).await;
        assert_eq!((again.outcome(), again.job_ids()), ("duplicate", first.job_ids()));
        let by_query = ask(post("/webhooks/sms/closed/?secret=the-right-secret", 2)).await;
        assert_eq!(by_query.outcome(), "accepted", "{by_query:?}");
        ask(post("/webhooks/sms/closed/", 2)).await.is_problem(401, "unauthenticated");
        let (with, without) =
            (ask(daemon.get("/webhooks/sms/open/")).await, ask(daemon.get("/webhooks/sms/open")).await);
        assert_eq!((with.status, &with.text), (200, &without.text));
        let put = daemon.http.request(Method::PUT, url("/webhooks/sms/open/"));
        ask(put).await.is_problem(405, "method-not-allowed");
        let fax = ask(post("/webhooks/fax/open/", 1)).await;
        fax.is_problem(404, "not-found");
        assert!(fax.field("detail").contains("linkedin"), "{fax:?}");
        for path in ["/webhooks/sms/open//", "/webhooks/sms/", "/webhooks//open"] {
            ask(post(path, 1)).await.is_problem(404, "not-found");
        }
    }
}
