//! A proxy for HTTPS that notes who is asked for.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Ends with it.
pub struct Proxy {
    /// Where it is.
    pub url: String,
    asked: Arc<Mutex<BTreeSet<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts it on loopback.
    ///
    /// # Errors
    /// No port.
    pub async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("listen")?;
        let url = format!("http://{}", listener.local_addr()?);
        let asked = Arc::<Mutex<BTreeSet<String>>>::default();
        let noted = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, noted.clone()));
            }
        });
        Ok(Self { url, asked, task })
    }

    /// Hosts with their ports.
    pub fn asked(&self) -> BTreeSet<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One tunnel. Whatever goes wrong ends it, and the client sees that.
async fn pass(mut client: TcpStream, asked: Arc<Mutex<BTreeSet<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match client.read_u8().await {
            Ok(byte) if head.len() < 8_192 => head.push(byte),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let Some(host) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else { return };
    asked.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned());
    let Ok(mut server) = TcpStream::connect(host).await else { return };
    if client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    }
}
