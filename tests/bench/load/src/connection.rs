// SPDX-License-Identifier: Apache-2.0

//! A kept connection: TLS with a client certificate, HTTP/1.1 or HTTP/2.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::Failure;
use crate::plan::Client;

pub struct Tls {
    roots: Arc<RootCertStore>,
}

impl Tls {
    /// For servers of this authority (PEM).
    pub fn of(authority: &Path) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(authority)? {
            roots.add(certificate?)?;
        }
        Ok(Self { roots: Arc::new(roots) })
    }

    pub async fn connect(&self, client: &Client, port: u16, http2: bool) -> Result<Connection, Failure> {
        let chain = CertificateDer::pem_file_iter(&client.certificate)?.collect::<Result<_, _>>()?;
        let mut config = ClientConfig::builder()
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(&client.key)?)?;
        let protocol: &[u8] = if http2 { b"h2" } else { b"http/1.1" };
        config.alpn_protocols = vec![protocol.to_vec()];
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        socket.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost")?, socket).await?;
        // A server without ALPN speaks HTTP/1.1.
        if stream.get_ref().1.alpn_protocol().unwrap_or(b"http/1.1") != protocol {
            return Err("the server speaks another protocol".into());
        }
        let stream = TokioIo::new(stream);
        Ok(if http2 {
            let (sender, driver) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(driver);
            Connection::Http2(sender)
        } else {
            let (sender, driver) = http1::handshake(stream).await?;
            tokio::spawn(driver);
            Connection::Http1(sender)
        })
    }
}

pub enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// The status, when the response has come with all of its body.
    pub async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<StatusCode, hyper::Error> {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(status)
    }
}
