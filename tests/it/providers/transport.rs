//! What the client makes of each way in which a connection can fail. Only a call of which no byte
//! was written may be called not connected: it is made again.

use super::send_end;
use postroom::{
    channels::sending::{Call, CallAnswer},
    config::Secret,
    domain::sending::SendEnd,
    wire::{CallEnd, Wire},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const TIMEOUT: Duration = Duration::from_secs(10);

fn call(url: &str, allow_private: bool) -> Call {
    Call {
        method: "POST",
        url: url.to_owned(),
        headers: vec![("authorization", Secret::new("Bearer hunter2"))],
        body: b"the body".to_vec(),
        secrets: vec![Secret::new("hunter2")],
        allow_private,
    }
}

/// Reads the request to its end.
async fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"the body") {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "it is cut");
    }
    String::from_utf8(bytes).unwrap()
}

/// Makes one call by `scheme`, at a server that does `script` with its one connection.
async fn ended<F: Future<Output = ()>>(
    scheme: &str,
    timeout: Duration,
    script: impl FnOnce(TcpStream) -> F,
) -> CallEnd {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{scheme}://{}/x", listener.local_addr().unwrap());
    let (call, wire) = (call(&url, true), Wire::default());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        script(stream).await;
    };
    let (end, ()) = tokio::join!(wire.call(&call, timeout), server);
    // Nobody comes a second time.
    let again = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
    assert!(again.is_err(), "the call was made twice");
    end
}

/// What a server does that reads the whole request, then writes this and closes.
async fn says(text: &str) -> CallEnd {
    ended("http", TIMEOUT, async |mut stream| {
        request(&mut stream).await;
        stream.write_all(text.as_bytes()).await.unwrap();
    })
    .await
}

fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
}

#[tokio::test]
async fn a_port_that_nobody_listens_at_is_not_connected() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let end = Wire::default().call(&call(&url, true), TIMEOUT).await;
    assert!(matches!(end, CallEnd::NotConnected(_)), "{end:?}");
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_connected() {
    let end = Wire::default().call(&call("https://nowhere.invalid/x", false), TIMEOUT).await;
    assert!(matches!(end, CallEnd::NotConnected(_)), "{end:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_not_connected() {
    let mut heard = Vec::new();
    let end = ended("https", TIMEOUT, async |mut stream| {
        stream.read_buf(&mut heard).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 \r\n\r\n").await.unwrap();
    })
    .await;
    assert!(matches!(end, CallEnd::NotConnected(_)), "{end:?}");
    // A handshake, and nothing of the call.
    assert_eq!(heard.first(), Some(&22), "{heard:?}");
    assert!(!heard.windows(7).any(|it| it == b"hunter2"));
}

#[tokio::test]
async fn a_handshake_that_is_cut_is_not_connected() {
    let end = ended("https", TIMEOUT, async |mut stream| {
        stream.read_buf(&mut Vec::new()).await.unwrap();
        reset(stream);
    })
    .await;
    assert!(matches!(end, CallEnd::NotConnected(_)), "{end:?}");
}

#[tokio::test]
async fn a_handshake_that_hangs_is_not_connected() {
    let end = ended("https", TIMEOUT, async |mut stream| {
        stream.read_buf(&mut Vec::new()).await.unwrap();
        // Until the client gives up.
        while stream.read_buf(&mut Vec::new()).await.unwrap_or(0) > 0 {}
    })
    .await;
    assert!(matches!(end, CallEnd::NotConnected(_)), "{end:?}");
}

#[tokio::test]
async fn what_breaks_off_before_a_whole_head_is_lost() {
    let closed_at_once = ended("http", TIMEOUT, async |stream| drop(stream)).await;
    let reset_after_request = ended("http", TIMEOUT, async |mut stream| {
        request(&mut stream).await;
        reset(stream);
    })
    .await;
    let reset_after_first_byte = ended("http", TIMEOUT, async |mut stream| {
        request(&mut stream).await;
        stream.write_all(b"H").await.unwrap();
        reset(stream);
    })
    .await;
    let half_request_read = ended("http", TIMEOUT, async |mut stream| {
        stream.read_exact(&mut [0; 5]).await.unwrap();
        reset(stream);
    })
    .await;
    for end in [
        closed_at_once,
        reset_after_request,
        reset_after_first_byte,
        half_request_read,
        says("").await,
        says("HTTP/1.1 200 OK\r\ncontent-le").await,
        says("no HTTP at all\r\n\r\n").await,
    ] {
        let CallEnd::Lost(why) = end else { panic!("{end:?}") };
        assert!(!why.contains("hunter2"), "{why}");
    }
}

#[tokio::test]
async fn a_reset_at_once_is_no_answer() {
    let end = ended("http", TIMEOUT, async |stream| reset(stream)).await;
    // The kernel may tell of it while the connection is made, or just after.
    assert!(matches!(end, CallEnd::NotConnected(_) | CallEnd::Lost(_)), "{end:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_lost() {
    let end = ended("http", Duration::from_millis(300), async |mut stream| {
        request(&mut stream).await;
        while stream.read_buf(&mut Vec::new()).await.unwrap_or(0) > 0 {}
    })
    .await;
    assert!(matches!(end, CallEnd::Lost(_)), "{end:?}");
}

#[tokio::test]
async fn a_status_counts_even_if_its_body_is_cut() {
    for (text, expected) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"messageId\":\"m-", "unknown"),
        ("HTTP/1.1 422 No\r\ncontent-length: 99\r\n\r\n{\"er", "failed"),
        ("HTTP/1.1 429 No\r\nretry-after: 9\r\ncontent-length: 99\r\n\r\n", "not sent"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 19\r\n\r\n{\"messageId\":\"m-1\"}", "sent"),
    ] {
        let end = says(text).await;
        let word = match send_end("sms", end) {
            SendEnd::Sent { .. } => "sent",
            SendEnd::NotSent { .. } => "not sent",
            SendEnd::NotCalled { .. } => "not called",
            SendEnd::Failed { .. } | SendEnd::Unsendable { .. } => "failed",
            SendEnd::Unknown { .. } => "unknown",
        };
        assert_eq!(word, expected, "{text}");
    }
}

#[tokio::test]
async fn of_a_long_body_the_beginning_is_kept() {
    let body = "x".repeat(1024 * 1024);
    let end = ended("http", TIMEOUT, async |mut stream| {
        request(&mut stream).await;
        // The client does not read to the end, so writing may fail.
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await.ok();
    })
    .await;
    let CallEnd::Answered(answer) = end else { panic!("{end:?}") };
    assert_eq!((answer.status, answer.body.len()), (200, 64 * 1024));
    let end = send_end("sms", CallEnd::Answered(answer));
    assert!(matches!(end, SendEnd::Unknown { .. }), "{end:?}");
}

#[tokio::test]
async fn an_answer_is_kept_without_the_calls_secrets() {
    let body = "{\"error\":\"hunter2\"}";
    let length = body.len();
    let end = says(&format!(
        "HTTP/1.1 400 \r\nDate: hunter2\r\nset-cookie: a=hunter2\r\ncontent-length: {length}\r\n\r\n{body}"
    ))
    .await;
    let expected = CallAnswer {
        status: 400,
        headers: vec![("date".to_owned(), "***".to_owned())],
        body: b"{\"error\":\"***\"}".to_vec(),
    };
    assert_eq!(end, CallEnd::Answered(expected));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = other.local_addr().unwrap();
    for status in [301, 302, 303, 307, 308] {
        let end = says(&format!("HTTP/1.1 {status} \r\nlocation: http://{target}/\r\n\r\n")).await;
        let is_answer = matches!(&end, CallEnd::Answered(answer) if answer.status == status);
        assert!(is_answer, "{end:?}");
        let end = send_end("sms", end);
        assert!(matches!(end, SendEnd::Failed { .. }), "{end:?}");
    }
    let asked = tokio::time::timeout(Duration::from_millis(20), other.accept()).await;
    assert!(asked.is_err(), "it was followed");
}

/// A connection that is kept open is not used again: a server that closes it just then would leave
/// open whether the second call arrived.
#[tokio::test]
async fn each_call_has_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let call = call(&format!("http://{}/x", listener.local_addr().unwrap()), true);
    let wire = Wire::default();
    let server = async {
        let mut kept = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            request(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            kept.push(stream);
        }
    };
    let calls = async {
        for _ in 0..2 {
            let end = wire.call(&call, TIMEOUT).await;
            assert!(matches!(end, CallEnd::Answered(_)), "{end:?}");
        }
    };
    tokio::join!(server, calls);
}

#[tokio::test]
async fn no_call_goes_where_it_may_not() {
    let wire = Wire::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (url, allow_private) in [
        ("http://127.0.0.1:PORT/", false),
        ("http://api.example.com/", false),
        ("https://127.0.0.1:PORT/", false),
        ("https://localhost:PORT/", false),
        ("https://LOCALHOST.:PORT/", false),
        ("https://127.1:PORT/", false),
        ("https://2130706433:PORT/", false),
        ("https://0x7f.1:PORT/", false),
        ("https://[::1]:PORT/", false),
        ("https://[::ffff:127.0.0.1]:PORT/", false),
        ("https://[64:ff9b::127.0.0.1]:PORT/", false),
        ("https://10.0.0.1/", false),
        ("https://169.254.169.254/", false),
        ("https://169.254.169.254/", true),
        ("http://169.254.169.254/", true),
        ("https://0.0.0.0:PORT/", true),
        ("http://[::]:PORT/", true),
        ("http://1.1.1.1/", true),
        ("http://224.0.0.1/", true),
        ("ftp://127.0.0.1:PORT/", true),
        ("file:///etc/passwd", true),
        ("nonsense", true),
    ] {
        let url = url.replace("PORT", &port.to_string());
        let end = wire.call(&call(&url, allow_private), TIMEOUT).await;
        assert!(matches!(end, CallEnd::NotConnected(_)), "{url}: {end:?}");
    }
    let asked = tokio::time::timeout(Duration::from_millis(20), listener.accept()).await;
    assert!(asked.is_err(), "somebody came");
}
