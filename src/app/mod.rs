//! The composition root: builds everything, starts it in order, stops it in order.

#[cfg(feature = "test-clock")]
mod clock;
mod crds;
mod signals;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, Config};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::api::Mode;
use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection};
use crate::clients::CallObserver;
use crate::clock::Clock;
use crate::cluster;
use crate::controllers::context::Context;
use crate::controllers::identity_federation::IdentityFederationReconciler;
use crate::controllers::permission_set_binding::PermissionSetBindingReconciler;
use crate::controllers::scim_connection::ScimConnectionReconciler;
use crate::controllers::{Clouds, Reconciler, Runner, Stores, Writers, watch_config_maps};
use crate::health::{self, Readiness};
use crate::leader::{Elector, Ended, Gate, Leadership};
use crate::observers::Chain;
use crate::settings::Settings;
use crate::telemetry::Metrics;

pub use signals::stop_on_signals;

/// Connections that are still open when everything else has ended are not waited for longer.
const CLOSE: Duration = Duration::from_secs(2);

/// Why the operator ended without being asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither kubeconfig nor service account.
    #[error("there is no way to reach the API server: {0}")]
    NoCluster(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The client for the API server cannot be built.
    #[error("the client for the API server cannot be made: {0}")]
    Cluster(#[from] kube::Error),
    /// The clients for the clouds cannot be built.
    #[error("the clients for the clouds cannot be made: {0}")]
    Clouds(#[from] crate::clients::http::HttpSetupError),
    /// The address is taken, or not ours.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The sandbox's clock cannot be followed.
    #[cfg(feature = "test-clock")]
    #[error("the client for the test clock cannot be made: {0}")]
    TestClock(#[source] reqwest::Error),
    /// Another operator may write now.
    #[error("leadership is lost")]
    LeadershipLost,
    /// Something that runs for ever has ended.
    #[error("{0} ended unexpectedly")]
    Ended(&'static str),
    /// A defect.
    #[error("a task failed: {0}")]
    Task(#[from] JoinError),
}

impl Error {
    /// The exit code of the process: 3 for lost leadership, which is nobody's fault; else 1.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::LeadershipLost => 3,
            _ => 1,
        }
    }
}

/// The reconcilers of the three kinds.
pub struct Reconcilers<F, C, B> {
    /// For IdentityFederation.
    pub federations: F,
    /// For ScimConnection.
    pub connections: C,
    /// For PermissionSetBinding.
    pub bindings: B,
}

/// Runs the operator: see [`run_with`].
///
/// # Errors
/// As [`run_with`].
pub async fn run(
    settings: Settings,
    observer: Option<Arc<dyn CallObserver>>,
    stop: CancellationToken,
    cluster: Option<Config>,
) -> Result<(), Error> {
    let reconcilers = Reconcilers {
        federations: IdentityFederationReconciler::default(),
        connections: ScimConnectionReconciler::default(),
        bindings: PermissionSetBindingReconciler,
    };
    run_with(settings, observer, stop, cluster, reconcilers).await
}

/// Runs any reconcilers until `stop`, and then stops in order: not ready any more, no new work, what runs ends (or
/// is cut off after `settings.drain`), the lease is given back.
///
/// `observer` sees every remote call; `cluster` says how to reach the API server, else the settings do. Dropping the
/// future ends everything at once, as a crash would. Nothing in here is global to the process.
///
/// # Errors
/// Whatever makes it impossible to start or to go on.
pub async fn run_with<F, C, B>(
    settings: Settings,
    observer: Option<Arc<dyn CallObserver>>,
    stop: CancellationToken,
    cluster: Option<Config>,
    reconcilers: Reconcilers<F, C, B>,
) -> Result<(), Error>
where
    F: Reconciler<Kind = IdentityFederation>,
    C: Reconciler<Kind = ScimConnection>,
    B: Reconciler<Kind = PermissionSetBinding>,
{
    let (mut operator, writers) = Operator::start(settings, observer, cluster).await?;
    let result = operator.work(&stop, writers, reconcilers).await;
    if let Err(error) = &result {
        tracing::error!(%error, "stopping");
    }
    operator.stop(result).await
}

/// What ends beside the controllers.
enum Service {
    Election(Ended),
    Other(&'static str),
}

struct Operator {
    context: Arc<Context>,
    stores: Stores,
    watches: Client,
    leadership: watch::Receiver<Leadership>,
    readiness: watch::Sender<Readiness>,
    services: JoinSet<Service>,
    controllers: JoinSet<&'static str>,
    /// Ends the controllers' streams; what runs may finish.
    quit: CancellationToken,
    /// Gives the lease back.
    release: CancellationToken,
    /// Closes the HTTP server.
    close: CancellationToken,
}

impl Operator {
    /// Builds everything and starts what does not write: HTTP server, election, clock.
    async fn start(
        settings: Settings,
        observer: Option<Arc<dyn CallObserver>>,
        cluster: Option<Config>,
    ) -> Result<(Self, Writers), Error> {
        announce(&settings);
        let settings = Arc::new(settings);
        let config = match cluster {
            Some(config) => config,
            None => cluster::config(settings.kubeconfig.as_deref()).await.map_err(Error::NoCluster)?,
        };
        let metrics = Arc::new(Metrics::new());
        let leadership = Arc::new(watch::Sender::new(Leadership::Following));
        let clock = Clock::system();

        // The gate is asked last: between its word and the call there is nothing. The lease itself is not held back.
        let counted: Arc<dyn CallObserver> = metrics.clone();
        let gate: Arc<dyn CallObserver> = Arc::new(Gate::new(leadership.subscribe()));
        let free = Chain::of(observer.clone().into_iter().chain([counted.clone()]));
        let gated = Chain::of(observer.into_iter().chain([counted, gate]));

        let watches = cluster::watches(&config, &gated)?;
        let calls = cluster::calls(&config, &gated)?;
        let clouds = Clouds::new(settings.clone(), gated.clone())?;
        let context =
            Arc::new(Context::new(calls, settings.clone(), clock.clone(), clouds, gated, metrics.clone()));
        let (stores, writers) = Stores::new(&settings);
        let (resources, now) = (stores.clone(), clock.clone());
        metrics.count_resources(move || resources.state(now.now()));
        metrics.observing(settings.mode == Mode::Observe);

        let mut operator = Self {
            context,
            stores,
            watches,
            leadership: leadership.subscribe(),
            readiness: watch::Sender::new(Readiness::WaitingForCrds),
            services: JoinSet::new(),
            controllers: JoinSet::new(),
            quit: CancellationToken::new(),
            release: CancellationToken::new(),
            close: CancellationToken::new(),
        };
        if let Some(address) = settings.listen {
            operator.listen(address, metrics).await?;
        }
        #[cfg(feature = "test-clock")]
        if let Some(url) = &settings.test_clock {
            let follower = clock::Follower::new(url, clock).map_err(Error::TestClock)?;
            // Nothing is judged by the wrong time.
            follower.once().await;
            operator.services.spawn(async move {
                follower.follow().await;
                Service::Other("the test clock")
            });
        }
        let client = cluster::calls(&config, &free)?;
        let elector = Elector::new(client, &settings.operator_namespace, settings.leader.clone(), leadership);
        let release = operator.release.clone();
        operator.services.spawn(async move { Service::Election(elector.run(release).await) });
        Ok((operator, writers))
    }

    async fn listen(&mut self, address: SocketAddr, metrics: Arc<Metrics>) -> Result<(), Error> {
        let listener = bind(address).await.map_err(|e| Error::Listen(address, e))?;
        let server = health::serve(listener, self.readiness.subscribe(), metrics, self.close.clone());
        self.services.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the HTTP server failed");
            }
            Service::Other("the HTTP server")
        });
        Ok(())
    }

    /// Waits for the CRDs and for the lease, and then runs the controllers until `stop`.
    async fn work<F, C, B>(
        &mut self,
        stop: &CancellationToken,
        writers: Writers,
        reconcilers: Reconcilers<F, C, B>,
    ) -> Result<(), Error>
    where
        F: Reconciler<Kind = IdentityFederation>,
        C: Reconciler<Kind = ScimConnection>,
        B: Reconciler<Kind = PermissionSetBinding>,
    {
        let elected = async {
            crds::served(&self.context).await;
            self.readiness.send_replace(Readiness::Ready);
            tracing::info!("waiting for the lease");
            // It fails only when the elector has ended, and that is seen below.
            if self.leadership.wait_for(|l| l.is_leading()).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = elected => {}
            () = stop.cancelled() => return Ok(()),
            ended = self.services.join_next() => return Err(service_ended(ended)),
        }
        self.stores.lead(self.context.clock.now());
        self.context.metrics.leading(true);
        self.readiness.send_replace(Readiness::Listing);
        self.spawn_controllers(writers, reconcilers);
        let listed = async {
            self.stores.filled().await;
            self.readiness.send_replace(Readiness::Ready);
            tracing::info!("ready");
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = listed => Ok(()),
            () = stop.cancelled() => Ok(()),
            ended = self.services.join_next() => Err(service_ended(ended)),
            ended = self.controllers.join_next() => Err(match ended {
                Some(Err(error)) => Error::Task(error),
                Some(Ok(name)) => Error::Ended(name),
                None => Error::Ended("every controller"),
            }),
        }
    }

    fn spawn_controllers<F, C, B>(&mut self, writers: Writers, reconcilers: Reconcilers<F, C, B>)
    where
        F: Reconciler<Kind = IdentityFederation>,
        C: Reconciler<Kind = ScimConnection>,
        B: Reconciler<Kind = PermissionSetBinding>,
    {
        let Reconcilers { federations, connections, bindings } = reconcilers;
        let federations = Runner::new(federations, self.context.clone(), self.stores.clone());
        let connections = Runner::new(connections, self.context.clone(), self.stores.clone());
        let bindings = Runner::new(bindings, self.context.clone(), self.stores.clone());
        let (watches, quit) = (&self.watches, &self.quit);
        let run = federations.run(
            self.stores.federations.clone(),
            writers.federations,
            watches.clone(),
            quit.clone(),
        );
        self.controllers.spawn(async move {
            run.await;
            "the controller for IdentityFederation"
        });
        let run = connections.run(
            self.stores.connections.clone(),
            writers.connections,
            watches.clone(),
            quit.clone(),
        );
        self.controllers.spawn(async move {
            run.await;
            "the controller for ScimConnection"
        });
        let run = bindings.run(self.stores.bindings.clone(), writers.bindings, watches.clone(), quit.clone());
        self.controllers.spawn(async move {
            run.await;
            "the controller for PermissionSetBinding"
        });
        let maps = watch_config_maps(watches.clone(), self.context.clone(), self.stores.clone());
        let quit = quit.clone();
        self.controllers.spawn(async move {
            quit.run_until_cancelled(maps).await;
            "the watch on ConfigMaps"
        });
    }

    /// Stops everything in order and says how it ended.
    async fn stop(mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.readiness.send_replace(Readiness::Stopping);
        self.quit.cancel();
        // Whoever lost the lease has nothing left to finish: its writes are held back already.
        let drain = match result {
            Err(Error::LeadershipLost) => Duration::ZERO,
            _ => self.context.settings.drain,
        };
        let drained = async { while self.controllers.join_next().await.is_some() {} };
        if tokio::time::timeout(drain, drained).await.is_err() {
            tracing::warn!("what was still running is cut off");
            self.controllers.shutdown().await;
        }
        self.context.metrics.leading(false);
        self.release.cancel();
        let lease = self.context.settings.leader.lease_duration / 3 + CLOSE;
        let released = async {
            while let Some(ended) = self.services.join_next().await {
                if matches!(ended, Ok(Service::Election(_))) {
                    return;
                }
            }
        };
        // The HTTP server answers until the lease is gone.
        if tokio::time::timeout(lease, released).await.is_err() {
            tracing::warn!("the election did not end in time");
        }
        self.close.cancel();
        let closed = async { while self.services.join_next().await.is_some() {} };
        // What is still connected, or runs without end, is dropped.
        let _ = tokio::time::timeout(CLOSE, closed).await;
        tracing::info!("stopped");
        result
    }
}

/// `[::]` stands for all addresses of both families, whatever the machine's default is, and also where it has no IPv6.
async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    if address.ip() != Ipv6Addr::UNSPECIFIED {
        return TcpListener::bind(address).await;
    }
    match both(address) {
        Err(e) if e.kind() != ErrorKind::AddrInUse => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
}

fn both(address: SocketAddr) -> std::io::Result<TcpListener> {
    const BACKLOG: i32 = 1024;
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(false)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// The first line of the log: who this is, and what it may do.
fn announce(settings: &Settings) {
    let namespaces = match settings.namespaces.is_empty() {
        true => "all".to_owned(),
        false => settings.namespaces.iter().map(String::as_str).collect::<Vec<_>>().join(","),
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        installation_id = settings.installation_id,
        mode = ?settings.mode,
        namespaces,
        "causeway starts"
    );
}

fn service_ended(ended: Option<Result<Service, JoinError>>) -> Error {
    match ended {
        Some(Ok(Service::Election(Ended::Lost))) => Error::LeadershipLost,
        Some(Ok(Service::Election(Ended::Released))) | None => Error::Ended("the election"),
        Some(Ok(Service::Other(name))) => Error::Ended(name),
        Some(Err(error)) => Error::Task(error),
    }
}
