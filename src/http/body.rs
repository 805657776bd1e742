//! Bodies of webhooks: read and unpacked, each within bounds.
//!
//! What all requests read at once is bounded before anything is known of their senders. A body with a
//! `Content-Encoding` is at most `server.body_limit` bytes long as it comes, and again after each step
//! of unpacking: a few bytes that unpack to gigabytes are refused as soon as the limit is passed.

use super::problem::{Cause, Problem};
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
    sync::Arc,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How often a body may be packed, one encoding around the other. Each costs a pass over the body.
const ENCODINGS_MAX: usize = 3;
/// The buffer through which Brotli reads; the whole input is in memory already.
const BROTLI_BUFFER_BYTES: usize = 4_096;
/// How much of an encoding's name an answer repeats, in characters.
const NAME_CHARS_MAX: usize = 40;

/// A body, with its share of what may be read at once.
pub(super) struct Read {
    /// The bytes as received: signatures are over these.
    pub(super) received: Bytes,
    /// The bytes that they unpack to, the same where nothing is packed; or a 400, which is due only
    /// once the sender is known.
    pub(super) unpacked: Result<Bytes, Problem>,
    /// Given back when dropped.
    pub(super) room: Option<OwnedSemaphorePermit>,
}

/// Reads and unpacks the body of `request`, at most `limit` bytes of it. `reading` is the room for the
/// bodies of all requests, in bytes.
///
/// # Errors
/// 413 where it is larger, packed or unpacked; 415 for an encoding that is not known; 429 where there is
/// no room; 400 where the connection breaks off.
pub(super) async fn read(
    request: &HttpRequest,
    mut payload: web::Payload,
    limit: u64,
    reading: &Arc<Semaphore>,
) -> Result<Read, Problem> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let announced = request.headers().get("content-length").and_then(|it| it.to_str().ok());
    if announced.and_then(|it| it.parse::<usize>().ok()).is_some_and(|it| it > limit) {
        return Err(Problem::too_large(limit));
    }
    let encodings = encodings(request.headers())?;
    let (mut body, mut room) = (BytesMut::new(), None);
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::not_json("the body broke off"))?;
        if body.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit));
        }
        take_room(&mut room, reading, chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    let received = body.freeze();
    let unpacked = match unpack(&received, &encodings, limit) {
        Ok(unpacked) => {
            if !encodings.is_empty() {
                take_room(&mut room, reading, unpacked.len())?;
            }
            Ok(unpacked)
        }
        Err(Unpackable::TooLarge) => return Err(Problem::too_large(limit)),
        Err(Unpackable::Garbled(encoding)) => {
            let name = encoding.name();
            Err(Problem::not_json(format!("the body is not {name}, as its Content-Encoding says")))
        }
    };
    Ok(Read { received, unpacked, room })
}

/// Adds room for `bytes` to `room`.
fn take_room(
    room: &mut Option<OwnedSemaphorePermit>,
    reading: &Arc<Semaphore>,
    bytes: usize,
) -> Result<(), Problem> {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let more = reading
        .clone()
        .try_acquire_many_owned(bytes)
        .map_err(|_| Problem::new(Cause::QueueFull, "as much is being read as may: post again"))?;
    match room {
        Some(room) => room.merge(more),
        None => *room = Some(more),
    }
    Ok(())
}

/// How a body can be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Gzip,
    /// Zlib's format, as RFC 9110 says, or bare deflate, which some programs send under that name.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unpackable {
    /// It is larger than allowed.
    TooLarge,
    /// It is not of that encoding, or cut.
    Garbled(Encoding),
}

/// The encodings of a request, in the order in which they were applied; `identity` is none.
///
/// # Errors
/// 415 for a name that is not known, or for too many.
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

/// Undoes `encodings`, the last one first.
fn unpack(received: &Bytes, encodings: &[Encoding], limit: usize) -> Result<Bytes, Unpackable> {
    let mut body = received.clone();
    for encoding in encodings.iter().rev() {
        body = Bytes::from(unpack_once(&body, *encoding, limit)?);
    }
    Ok(body)
}

fn unpack_once(packed: &[u8], encoding: Encoding, limit: usize) -> Result<Vec<u8>, Unpackable> {
    let unpacked = match encoding {
        Encoding::Gzip => up_to(limit, MultiGzDecoder::new(packed)),
        Encoding::Deflate if has_zlib_head(packed) => up_to(limit, ZlibDecoder::new(packed)),
        Encoding::Deflate => up_to(limit, DeflateDecoder::new(packed)),
        Encoding::Brotli if has_large_window(packed) => return Err(Unpackable::Garbled(encoding)),
        Encoding::Brotli => {
            up_to(limit, brotli_decompressor::Decompressor::new(packed, BROTLI_BUFFER_BYTES))
        }
    };
    let unpacked = unpacked.map_err(|_| Unpackable::Garbled(encoding))?;
    if unpacked.len() > limit { Err(Unpackable::TooLarge) } else { Ok(unpacked) }
}

/// Reads all, or one byte more than `limit`.
fn up_to(limit: usize, reader: impl io::Read) -> io::Result<Vec<u8>> {
    let mut unpacked = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    reader.take(most).read_to_end(&mut unpacked)?;
    Ok(unpacked)
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

/// True for "large window Brotli", which is not the `br` of RFC 7932: its first bytes have a reader reserve up
/// to a gigabyte.
fn has_large_window(packed: &[u8]) -> bool {
    packed.first().is_some_and(|it| it & 0x7f == 0x11)
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let unpacked = unpack(&Bytes::from(packed), encodings, limit);
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
            let unpacked = unpack(&Bytes::from(packed), encodings, TEXT.len() - 1);
            assert_eq!(unpacked, Err(Unpackable::TooLarge), "{encodings:?}");
        }
        // As much is unpacked as may be, and no more.
        let bomb = gzip(&vec![b' '; 16 << 20]);
        assert!(bomb.len() < 64 << 10);
        let unpacked = up_to(1_000, MultiGzDecoder::new(bomb.as_slice())).unwrap();
        assert_eq!(unpacked.len(), 1_001);
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
            let unpacked = unpack(&Bytes::from(packed), &[encoding], 1_000);
            assert_eq!(unpacked, Err(Unpackable::Garbled(encoding)));
        }
    }
}
