//! TLS on the socket that the daemon listens on, by rustls.

use super::connections::Watched;
use crate::config;
use arc_swap::ArcSwapOption;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// The largest file that is read for a certificate or a key, in bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;
/// The bits of a mode that let other users of the machine read, write or execute a file.
const OF_OTHERS: u32 = 0o007;

/// What encrypts new connections, if anything does. A clone is the same.
#[derive(Clone, Default)]
pub struct Tls(Arc<ArcSwapOption<ServerConfig>>);

/// A certificate and its key, ready to serve; `None`: connections are in clear.
pub struct PreparedTls(Option<Arc<ServerConfig>>);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(***)")
    }
}

impl std::fmt::Debug for PreparedTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PreparedTls(***)")
    }
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("`{}` in `server.tls.{key}` cannot be read: {source}", .path.display())]
    File {
        /// The path of the file.
        path: PathBuf,
        /// The key of `[server.tls]` that names the file: `cert` or `key`.
        key: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// A file does not hold the certificate or the key that it should.
    #[error("`{}` in `server.tls.{key}` holds no {expected} in PEM: {why}", .path.display())]
    Content {
        /// The path of the file.
        path: PathBuf,
        /// The key of `[server.tls]` that names the file: `cert` or `key`.
        key: &'static str,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The certificate and the key do not belong together.
    #[error(
        "the certificate in `{}` and the key in `{}` cannot be used together (`server.tls`): {source}",
        .cert.display(),
        .key.display()
    )]
    Pair {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The reason, from rustls.
        source: rustls::Error,
    },
}

impl PreparedTls {
    /// Reads the certificate, with those that vouch for it, and the key, if there are any.
    ///
    /// # Errors
    /// If a file cannot be read or holds something else, or if the two do not belong together.
    pub fn load(files: Option<&config::TlsConfig>) -> Result<Self, TlsError> {
        let Some(files) = files else { return Ok(Self(None)) };
        let (cert, key) = (&files.cert, &files.key);
        let chain = certificates(cert, &read(cert, "cert")?)?;
        warn_if_open_to_others(key);
        let secret = private_key(key, &read(key, "key")?)?;
        let failed = |source| TlsError::Pair { cert: cert.clone(), key: key.clone(), source };
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, secret))
            .map_err(failed)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Some(Arc::new(config))))
    }
}

impl Tls {
    /// Serves new connections with `prepared` from now on. Open ones stay as they are.
    pub fn set(&self, prepared: PreparedTls) {
        self.0.store(prepared.0);
    }

    /// True if new connections are encrypted.
    pub fn is_on(&self) -> bool {
        self.0.load().is_some()
    }

    /// What encrypts a connection that is new now; `None` if it is in clear.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        self.0.load_full().map(TlsAcceptor::from)
    }
}

fn read(path: &Path, key: &'static str) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::File { path: path.to_owned(), key, source };
    // Checked before it is opened: opening a pipe waits until somebody writes to it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is no regular file")));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_MAX_BYTES) {
        Ok(bytes)
    } else {
        Err(failed(io::Error::other(format!("it is larger than {FILE_MAX_BYTES} bytes"))))
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |why| TlsError::Content {
        path: path.to_owned(),
        key: "cert",
        expected: "certificate",
        why,
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| failed(error.to_string()))?;
    if chain.is_empty() {
        return Err(failed("there is none in it".to_owned()));
    }
    Ok(chain)
}

fn private_key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| TlsError::Content {
        path: path.to_owned(),
        key: "key",
        expected: "private key",
        why: error.to_string(),
    })
}

fn warn_if_open_to_others(path: &Path) {
    if fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & OF_OTHERS != 0) {
        tracing::warn!(
            path = %path.display(),
            "every user of this machine may read or change the key in `server.tls.key`: chmod o= it"
        );
    }
}

/// A connection, encrypted or in clear.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Watched),
    Encrypted(Box<TlsStream<Watched>>),
}

impl Stream {
    /// The bytes on the wire.
    pub(super) fn watched(&self) -> &Watched {
        match self {
            Self::Plain(it) => it,
            Self::Encrypted(it) => it.get_ref().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_read(cx, buffer),
            Self::Encrypted(it) => Pin::new(it).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_write(cx, bytes),
            Self::Encrypted(it) => Pin::new(it).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_flush(cx),
            Self::Encrypted(it) => Pin::new(it).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(it) => Pin::new(it).poll_shutdown(cx),
            Self::Encrypted(it) => Pin::new(it).poll_shutdown(cx),
        }
    }
}
