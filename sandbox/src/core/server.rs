use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Marks a response that must never arrive: the server cuts the connection instead.
#[derive(Debug, Clone, Copy)]
pub struct CutConnection;

/// A server that listens on loopback until its token is cancelled.
#[derive(Debug, Clone)]
pub struct Listening {
    /// Where.
    pub address: SocketAddr,
    /// `https` or `http`, with host and port, without a trailing slash.
    pub url: String,
}

#[derive(Debug, thiserror::Error)]
#[error("connection cut by an injected fault")]
struct Cut;

/// Serves `router` on a free loopback port, with TLS when a configuration is given.
///
/// # Errors
/// When no port can be bound.
pub async fn serve(
    router: Router,
    tls: Option<Arc<rustls::ServerConfig>>,
    stop: CancellationToken,
) -> anyhow::Result<Listening> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let acceptor = tls.map(tokio_rustls::TlsAcceptor::from);
    tokio::spawn(async move {
        loop {
            let socket = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => socket,
                    Err(_) => continue,
                },
            };
            let (router, acceptor, stop) = (router.clone(), acceptor.clone(), stop.clone());
            tokio::spawn(async move {
                let _ = socket.set_nodelay(true);
                match acceptor {
                    None => connection(socket, router, stop).await,
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(socket).await {
                            connection(stream, router, stop).await;
                        }
                    }
                }
            });
        }
    });
    Ok(Listening { address, url: format!("{scheme}://{address}") })
}

async fn connection<S>(stream: S, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        async move {
            let response = match router.oneshot(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            if response.extensions().get::<CutConnection>().is_some() { Err(Cut) } else { Ok(response) }
        }
    });
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    tokio::select! {
        () = stop.cancelled() => {}
        // A client that hangs up is its own business.
        _ = builder.serve_connection(TokioIo::new(stream), service) => {}
    }
}
