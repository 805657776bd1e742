//! Reads and unpacks the bodies of webhooks, within bounds.
//!
//! Every byte of a body is borrowed from [`super::body_budget`] first, as it comes and as it is
//! unpacked. A body with a `Content-Encoding` has at most `server.body_limit` bytes as it comes,
//! and again after each step of unpacking: if a few bytes unpack to gigabytes, they are refused as
//! soon as the limit is passed.

use super::{
    body_budget::BodyLoan,
    problem::{Cause, Problem},
};
use actix_web::{
    HttpRequest,
    http::header::{CONTENT_ENCODING, HeaderMap},
    web,
};
use bytes::{Bytes, BytesMut};
use flate2::bufread::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use futures_util::StreamExt;
use std::{
    io::{self, Read as _},
    time::Duration,
};

/// How many encodings a body may have, one around the other. Each costs a pass over the body.
const ENCODINGS_MAX: usize = 3;
/// The size of the buffer through which Brotli reads. The whole input is in memory already.
const BROTLI_BUFFER_BYTES: usize = 4_096;
/// How many bytes are unpacked before room for them is borrowed.
const STEP_BYTES: usize = 64 * 1_024;
/// How many characters of an encoding's name an answer repeats.
const NAME_CHARS_MAX: usize = 40;

/// What the head of a request says of its body.
pub(super) struct Announced {
    /// In the order in which they were applied.
    encodings: Vec<Encoding>,
    /// The most bytes that the body may have, packed or unpacked.
    limit: usize,
}

impl Announced {
    /// Judges a head. Bodies have at most `limit` bytes.
    ///
    /// # Errors
    /// 413 if the head announces a larger body; 415 for an encoding that is not known.
    pub(super) fn by(request: &HttpRequest, limit: usize) -> Result<Self, Problem> {
        let length = request.headers().get("content-length").and_then(|it| it.to_str().ok());
        if length.and_then(|it| it.parse::<usize>().ok()).is_some_and(|length| length > limit) {
            return Err(Problem::too_large(limit));
        }
        Ok(Self { encodings: encodings(request.headers())?, limit })
    }

    /// Reads the body, within `time`.
    ///
    /// # Errors
    /// 413 if it is larger than allowed; 429 if it does not come in time or there is no room; 400
    /// if the connection breaks off.
    pub(super) async fn read(
        self,
        payload: web::Payload,
        loan: BodyLoan,
        time: Duration,
    ) -> Result<Body, Problem> {
        let in_time = tokio::time::timeout(time, self.read_all(payload, loan)).await;
        in_time.unwrap_or_else(|_| {
            let detail = "the body did not come in time (server.request_timeout): post again";
            Err(Problem::new(Cause::QueueFull, detail))
        })
    }

    async fn read_all(
        self,
        mut payload: web::Payload,
        mut loan: BodyLoan,
    ) -> Result<Body, Problem> {
        let mut received = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::not_json("the body broke off"))?;
            if received.len() + chunk.len() > self.limit {
                return Err(Problem::too_large(self.limit));
            }
            loan.take(chunk.len())?;
            received.extend_from_slice(&chunk);
        }
        let Self { encodings, limit } = self;
        Ok(Body { received: received.freeze(), encodings, limit, loan })
    }
}

/// A body, and the loan of its bytes.
pub(super) struct Body {
    /// The bytes as received: signatures are over these.
    pub(super) received: Bytes,
    /// The encodings that are not undone yet, in the order in which they were applied.
    encodings: Vec<Encoding>,
    limit: usize,
    loan: BodyLoan,
}

impl Body {
    /// Unpacks the body on the first call. The bytes as received are dropped then. A body without
    /// an encoding stays as it is.
    ///
    /// # Errors
    /// See [`Unpackable`].
    pub(super) fn unpack(&mut self) -> Result<&Bytes, Unpackable> {
        // The last encoding that was applied is undone first.
        while let Some(encoding) = self.encodings.last() {
            let unpacked = unpack_once(&self.received, *encoding, self.limit, &mut self.loan)?;
            self.loan.give_back(self.received.len());
            self.received = Bytes::from(unpacked);
            self.encodings.pop();
        }
        Ok(&self.received)
    }
}

/// How a body can be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    /// Zlib's format, as RFC 9110 says; or bare deflate, which some programs send under that name.
    Deflate,
    Brotli,
}

impl Encoding {
    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
        }
    }
}

/// Why a body cannot be unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unpackable {
    /// It is refused for every sender: it is larger than allowed, or there is no room.
    Refused(Problem),
    /// It does not have that encoding, or is cut. Answered 400, but only once the sender is known.
    Garbled(&'static str),
}

impl From<Unpackable> for Problem {
    fn from(why: Unpackable) -> Self {
        match why {
            Unpackable::Refused(problem) => problem,
            Unpackable::Garbled(name) => {
                Self::not_json(format!("the body is not {name}, as its Content-Encoding says"))
            }
        }
    }
}

/// The encodings of a request, in the order in which they were applied. `identity` is left out.
///
/// # Errors
/// 415 for an unknown name, or for too many of them.
fn encodings(headers: &HeaderMap) -> Result<Vec<Encoding>, Problem> {
    let mut found = Vec::new();
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = String::from_utf8_lossy(value.as_bytes());
        for name in names.split(',').map(str::trim) {
            found.push(match name.to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Encoding::Gzip,
                "deflate" => Encoding::Deflate,
                "br" => Encoding::Brotli,
                _ => {
                    let name: String = name.chars().take(NAME_CHARS_MAX).collect();
                    return Err(Problem::unsupported_encoding(format!(
                        "the Content-Encoding `{name}` is not known: use gzip, deflate, br or none"
                    )));
                }
            });
        }
    }
    if found.len() > ENCODINGS_MAX {
        return Err(Problem::unsupported_encoding(format!(
            "the body is packed {} times: at most {ENCODINGS_MAX} are taken",
            found.len()
        )));
    }
    Ok(found)
}

fn unpack_once(
    packed: &[u8],
    encoding: Encoding,
    limit: usize,
    loan: &mut BodyLoan,
) -> Result<Vec<u8>, Unpackable> {
    let mut into = Unpacking { limit, loan, unpacked: Vec::new() };
    let is_sound = match encoding {
        Encoding::Gzip => into.all_of(MultiGzDecoder::new(packed))?,
        Encoding::Deflate if has_zlib_head(packed) => into.all_of(ZlibDecoder::new(packed))?,
        Encoding::Deflate => into.all_of(DeflateDecoder::new(packed))?,
        Encoding::Brotli if has_large_window(packed) => false,
        Encoding::Brotli => {
            into.all_of(brotli_decompressor::Decompressor::new(packed, BROTLI_BUFFER_BYTES))?
        }
    };
    if is_sound { Ok(into.unpacked) } else { Err(Unpackable::Garbled(encoding.name())) }
}

/// A step of unpacking.
struct Unpacking<'r> {
    limit: usize,
    loan: &'r mut BodyLoan,
    unpacked: Vec<u8>,
}

impl Unpacking<'_> {
    /// Reads all that `reader` gives; false if it cannot be read to its end. Each piece that is
    /// read is borrowed. Reads at most one byte more than the limit, to notice the excess.
    fn all_of(&mut self, mut reader: impl io::Read) -> Result<bool, Unpackable> {
        loop {
            let before = self.unpacked.len();
            let step = STEP_BYTES.min(self.limit.saturating_add(1).saturating_sub(before));
            let most = u64::try_from(step).unwrap_or(u64::MAX);
            let read = reader.by_ref().take(most).read_to_end(&mut self.unpacked);
            let now = self.unpacked.len();
            if now > self.limit {
                return Err(Unpackable::Refused(Problem::too_large(self.limit)));
            }
            self.loan.take(now - before).map_err(Unpackable::Refused)?;
            match read {
                Ok(0) => return Ok(true),
                Ok(_) => {}
                Err(_) => return Ok(false),
            }
        }
    }
}

/// True for the two bytes with which zlib's format begins (RFC 1950): method 8, and a checksum.
fn has_zlib_head(packed: &[u8]) -> bool {
    match packed {
        [method, flags, ..] => {
            method & 0x0f == 8 && (u16::from(*method) * 256 + u16::from(*flags)).is_multiple_of(31)
        }
        _ => false,
    }
}

/// True for "large window Brotli", which is not the `br` of RFC 7932: its first bytes make a reader
/// reserve up to a gigabyte.
fn has_large_window(packed: &[u8]) -> bool {
    packed.first().is_some_and(|byte| byte & 0x7f == 0x11)
}

#[cfg(test)]
mod tests {
    use super::{
        super::body_budget::{BodyBudget, Borrower},
        *,
    };
    use actix_web::http::header::HeaderValue;
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use std::io::Write as _;

    const TEXT: &[u8] = br#"{"message": "Hello, hello, hello, hello, hello, hello"}"#;
    /// `TEXT`, packed by Brotli's own library.
    const BROTLI: &[u8] = &[
        0x1b, 0x36, 0x00, 0xf8, 0x8d, 0xd4, 0x62, 0xcd, 0x19, 0xee, 0xd4, 0x22, 0x20, 0x68, 0x7b,
        0x4b, 0xa7, 0xaf, 0x25, 0xa9, 0x64, 0x94, 0x66, 0x64, 0x02, 0x1a, 0xd0, 0xe4, 0x15, 0x19,
        0xaa, 0x6b, 0x10,
    ];

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

    fn named(values: &[&str]) -> Result<Vec<Encoding>, Problem> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, HeaderValue::from_str(value).unwrap());
        }
        encodings(&headers)
    }

    #[test]
    fn encodings_are_known_by_name_in_any_case_and_in_lists() {
        use Encoding::{Brotli, Deflate, Gzip};
        for (values, expected) in [
            (&[][..], &[][..]),
            (&["identity"], &[]),
            (&[""], &[]),
            (&["gzip"], &[Gzip]),
            (&["X-GZIP"], &[Gzip]),
            (&["Deflate"], &[Deflate]),
            (&["br"], &[Brotli]),
            (&["gzip, identity ,br"], &[Gzip, Brotli]),
            (&["gzip", "br"], &[Gzip, Brotli]),
        ] {
            assert_eq!(named(values).unwrap(), expected, "{values:?}");
        }
        for (values, word) in [
            (&["zstd"][..], "`zstd`"),
            (&["gzip, compress"], "`compress`"),
            (&["utf-8"], "`utf-8`"),
            (&["br;q=1"], "`br;q=1`"),
            (&["gzip,gzip,gzip,gzip"], "4 times"),
        ] {
            let problem = named(values).unwrap_err();
            assert_eq!(problem.cause(), Cause::UnsupportedEncoding, "{values:?}");
            assert!(problem.to_string().contains(word), "{problem}");
        }
    }

    /// A body that came in whole, of a stranger: 16 MiB are lent to all of them.
    fn body(packed: Vec<u8>, encodings: &[Encoding], limit: usize, budget: &BodyBudget) -> Body {
        let mut loan = budget.open(Borrower::stranger(None), limit);
        loan.take(packed.len()).unwrap();
        Body { received: Bytes::from(packed), encodings: encodings.to_vec(), limit, loan }
    }

    fn unpack(packed: Vec<u8>, encodings: &[Encoding], limit: usize) -> Result<Bytes, Unpackable> {
        body(packed, encodings, limit, &BodyBudget::default()).unpack().cloned()
    }

    #[test]
    fn each_encoding_unpacks_to_what_was_packed() {
        for (encodings, packed) in [
            (&[][..], TEXT.to_vec()),
            (&[Encoding::Gzip], gzip(TEXT)),
            (&[Encoding::Gzip], [gzip(TEXT.split_at(9).0), gzip(TEXT.split_at(9).1)].concat()),
            (&[Encoding::Deflate], zlib(TEXT)),
            (&[Encoding::Deflate], deflate(TEXT)),
            (&[Encoding::Brotli], BROTLI.to_vec()),
            (&[Encoding::Gzip, Encoding::Deflate], zlib(&gzip(TEXT))),
            (&[Encoding::Brotli, Encoding::Gzip], gzip(BROTLI)),
        ] {
            // What is packed twice is longer in between than the text.
            let limit = if encodings.len() > 1 { 2 * TEXT.len() } else { TEXT.len() };
            let unpacked = unpack(packed, encodings, limit);
            assert_eq!(unpacked.as_deref(), Ok(TEXT), "{encodings:?}");
        }
    }

    #[test]
    fn what_unpacks_to_more_than_the_limit_is_refused_at_the_limit() {
        for (encodings, packed) in [
            (&[Encoding::Gzip][..], gzip(TEXT)),
            (&[Encoding::Deflate], zlib(TEXT)),
            (&[Encoding::Deflate], deflate(TEXT)),
            (&[Encoding::Brotli], BROTLI.to_vec()),
            (&[Encoding::Gzip, Encoding::Gzip], gzip(&gzip(TEXT))),
        ] {
            let limit = TEXT.len() - 1;
            let refused = Unpackable::Refused(Problem::too_large(limit));
            assert_eq!(unpack(packed, encodings, limit), Err(refused), "{encodings:?}");
        }
        // As much is unpacked as may be, and no more.
        let bomb = gzip(&vec![b' '; 16 << 20]);
        assert!(bomb.len() < 64 << 10);
        let mut loan = BodyBudget::default().open(Borrower::Known, 1_000);
        let mut into = Unpacking { limit: 1_000, loan: &mut loan, unpacked: Vec::new() };
        assert!(into.all_of(MultiGzDecoder::new(bomb.as_slice())).is_err());
        assert_eq!(into.unpacked.len(), 1_001);
    }

    #[test]
    fn what_is_unpacked_takes_its_room() {
        let budget = BodyBudget::default();
        let (limit, packed) = (4 << 20, gzip(&vec![b' '; 3 << 20]));
        let mut unpacked_bodies = Vec::new();
        let refused = loop {
            let mut body = body(packed.clone(), &[Encoding::Gzip], limit, &budget);
            match body.unpack() {
                Ok(unpacked) => assert_eq!(unpacked.len(), 3 << 20),
                Err(why) => break why,
            }
            unpacked_bodies.push(body);
        };
        let Unpackable::Refused(problem) = refused else { panic!("{refused:?}") };
        assert_eq!((problem.cause(), unpacked_bodies.len()), (Cause::QueueFull, 5));
        drop(unpacked_bodies);
        assert!(body(packed, &[Encoding::Gzip], limit, &budget).unpack().is_ok());
    }

    #[test]
    fn what_is_not_of_its_encoding_or_cut_is_garbled() {
        for (encoding, packed) in [
            (Encoding::Gzip, TEXT.to_vec()),
            (Encoding::Gzip, Vec::new()),
            (Encoding::Gzip, gzip(TEXT).split_at(20).0.to_vec()),
            (Encoding::Gzip, [gzip(TEXT), b"more".to_vec()].concat()),
            (Encoding::Deflate, b"\xff\xff\xff".to_vec()),
            (Encoding::Brotli, b"\xff\xff\xff".to_vec()),
            (Encoding::Brotli, BROTLI.split_at(20).0.to_vec()),
            // A window of 2^30 bytes.
            (Encoding::Brotli, [&[0x11, 0x1e], BROTLI].concat()),
        ] {
            let unpacked = unpack(packed, &[encoding], 1_000);
            assert_eq!(unpacked, Err(Unpackable::Garbled(encoding.name())));
        }
    }
}
