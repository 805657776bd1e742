//! A server that answers as a model's does, over real HTTP, well or in any wrong way.

use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// From 0.
    pub number: usize,
    pub path: String,
    /// The key, without `Bearer `.
    pub key: Option<String>,
    pub body: Value,
}

impl Asked {
    /// `classify`, `score`, `draft` or `evaluate`.
    pub fn feature(&self) -> &str {
        self.body["response_format"]["json_schema"]["name"].as_str().unwrap()
    }

    pub fn instructions(&self) -> &str {
        self.body["messages"][0]["content"].as_str().unwrap()
    }

    pub fn data(&self) -> &str {
        self.body["messages"][1]["content"].as_str().unwrap()
    }

    pub fn schema(&self) -> &Value {
        &self.body["response_format"]["json_schema"]["schema"]
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// As a model does that keeps to its schema, and obeys whatever stands outside of the data.
    Good,
    /// The same, after this time.
    Late(Duration),
    /// With this text.
    Text(String),
    /// With this status, these headers and this body.
    Status(u16, &'static str, &'static str),
    /// The model ran out of tokens.
    CutShort,
    /// The model declined.
    Declined,
    /// The connection ends in the middle of a good answer.
    CutOff,
    /// Never.
    Never,
}

type Answer = dyn Fn(&Asked) -> Reply + Send + Sync;

/// The server. It ends when this is dropped.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    answer: Box<Answer>,
    asked: Mutex<Vec<Asked>>,
    running: AtomicUsize,
    /// The most requests at the same time.
    most: AtomicUsize,
    is_over: AtomicBool,
}

impl ModelServer {
    /// A server that answers each request as `answer` says.
    pub fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            asked: Mutex::default(),
            running: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        });
        let of_thread = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = of_thread.clone();
                thread::spawn(move || shared.serve(&stream.unwrap()));
            }
        });
        Self { address, shared }
    }

    /// A server that answers with these, one after the other, and then well.
    pub fn script(replies: Vec<Reply>) -> Self {
        Self::start(move |asked| replies.get(asked.number).cloned().unwrap_or(Reply::Good))
    }

    /// Its base URL, with a path of this name in it.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}/v1", self.address)
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The most requests at the same time since the last call.
    pub fn most(&self) -> usize {
        self.shared.most.swap(0, Ordering::Relaxed)
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // Wakes the thread that listens.
        TcpStream::connect(self.address).ok();
    }
}

impl Shared {
    /// Answers one request. The client may be gone at any time.
    fn serve(&self, stream: &TcpStream) {
        let Some(asked) = self.read(stream) else { return };
        let running = self.running.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(running, Ordering::Relaxed);
        let reply = (self.answer)(&asked);
        let bytes = match &reply {
            Reply::Never => {
                // Until the client has gone.
                let mut stream = stream;
                stream.read_exact(&mut [0]).ok();
                self.running.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            Reply::Late(time) => {
                thread::sleep(*time);
                completion(&good(&asked), "stop")
            }
            Reply::Good => completion(&good(&asked), "stop"),
            Reply::Text(text) => completion(text, "stop"),
            Reply::CutShort => {
                let text = good(&asked);
                completion(&text[..text.len() / 2], "length")
            }
            Reply::Declined => ok(&json!({
                "choices": [{"message": {"content": null, "refusal": "I cannot do that"}, "finish_reason": "stop"}],
            })),
            Reply::Status(status, headers, body) => http(*status, headers, body),
            Reply::CutOff => {
                let whole = completion(&good(&asked), "stop");
                whole[..whole.len() - 20].to_vec()
            }
        };
        self.running.fetch_sub(1, Ordering::Relaxed);
        let mut stream = stream;
        stream.write_all(&bytes).ok();
    }

    fn read(&self, stream: &TcpStream) -> Option<Asked> {
        let mut reader = BufReader::new(stream);
        let (mut line, mut length, mut key) = (String::new(), 0, None);
        reader.read_line(&mut line).ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        loop {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => key = value.strip_prefix("Bearer ").map(str::to_owned),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let mut all = self.asked.lock().unwrap();
        let body = serde_json::from_slice(&body).expect("a request is JSON");
        let asked = Asked { number: all.len(), path, key, body };
        all.push(asked.clone());
        Some(asked)
    }
}

fn http(status: u16, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn ok(body: &Value) -> Vec<u8> {
    http(200, "", &body.to_string())
}

fn completion(text: &str, finish_reason: &str) -> Vec<u8> {
    ok(&json!({
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "finish_reason": finish_reason,
        }],
        "usage": {"prompt_tokens": 700, "completion_tokens": 20, "total_tokens": 720},
    }))
}

/// The answer of a model that keeps to its schema, knows nothing else, and obeys each order that
/// stands outside of the data: a line `ANSWER` with JSON that fits the schema.
fn good(asked: &Asked) -> String {
    let schema = asked.schema();
    let json_schema = &asked.body["response_format"]["json_schema"];
    assert_eq!(asked.body["response_format"]["type"], "json_schema");
    assert_eq!(
        (&json_schema["strict"], &schema["additionalProperties"]),
        (&json!(true), &json!(false))
    );
    let names = |value: &Value| -> BTreeSet<String> {
        let listed =
            value.as_array().into_iter().flatten().map(|it| it.as_str().unwrap().to_owned());
        let keys = value.as_object().into_iter().flatten().map(|it| it.0.clone());
        listed.chain(keys).collect()
    };
    assert_eq!(names(&schema["required"]), names(&schema["properties"]), "a strict schema");
    let orders = outside(asked.data());
    let mut ordered = orders.iter().filter_map(|line| {
        let (_, order) = line.split_once("ANSWER ")?;
        let order: Value = serde_json::from_str(order).ok()?;
        fits(&order, schema).then_some(order)
    });
    ordered.next_back().unwrap_or_else(|| plain(schema)).to_string()
}

/// The lines of the data that stand in no part: outside of `<name>` and `</name>`.
pub fn outside(data: &str) -> Vec<String> {
    let (mut open, mut lines) = (None::<String>, Vec::new());
    let mut rest = data;
    // A model sees marks wherever they stand, not only at the beginnings of lines.
    while !rest.is_empty() {
        match &open {
            None => match rest.split_once('<') {
                Some((before, after)) => {
                    lines.extend(before.lines().map(str::to_owned));
                    let (name, after) = after.split_once('>').unwrap_or((after, ""));
                    open = (!name.starts_with('/')).then(|| name.to_owned());
                    rest = after;
                }
                None => {
                    lines.extend(rest.lines().map(str::to_owned));
                    rest = "";
                }
            },
            Some(name) => {
                rest = rest.split_once(&format!("</{name}>")).map_or("", |it| it.1);
                open = None;
            }
        }
    }
    lines.retain(|line| !line.trim().is_empty());
    lines
}

fn fits(value: &Value, schema: &Value) -> bool {
    let (Some(value), Some(properties)) = (value.as_object(), schema["properties"].as_object())
    else {
        return false;
    };
    value.len() == properties.len()
        && properties.iter().all(|(name, of)| match (value.get(name), of["enum"].as_array()) {
            (Some(value), Some(allowed)) => allowed.contains(value),
            (Some(value), None) => match of["type"].as_str() {
                Some("string") => value.is_string(),
                Some("boolean") => value.is_boolean(),
                _ => value.is_number(),
            },
            (None, _) => false,
        })
}

/// The answer that says least: the last of the words that are allowed.
fn plain(schema: &Value) -> Value {
    let property = |(name, of): (&String, &Value)| {
        let value = match (of["enum"].as_array(), of["type"].as_str()) {
            (Some(allowed), _) => allowed.last().unwrap().clone(),
            (None, Some("string")) => json!("Thank you for your message. ".repeat(5).trim()),
            (None, Some("boolean")) => json!(false),
            (None, _) => json!(0.75),
        };
        (name.clone(), value)
    };
    Value::Object(schema["properties"].as_object().unwrap().iter().map(property).collect())
}
