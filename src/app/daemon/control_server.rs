//! The daemon's side of the control socket. Mode and group of the socket determine who may connect; the kernel's peer
//! credentials identify the client.

use std::{
    io,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use chrono::Datelike as _;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::{
    context::DaemonContext,
    control_clients::Clients,
    engine::{EngineRequest, RequestError},
    health::{slots_held, standstill},
    image_tasks, not_in_force, reconcile, reload,
};
use crate::{
    adapters::{
        control::{self, ControlError, MAX_REQUEST, MOST_FOLLOWED, OUTDATED, PROTOCOL, Reply, Request, who},
        store::StoreError,
    },
    domain::{
        error::chain,
        ids::{BakeId, LineId, ScheduleId},
        image::Pin,
        text::{LONGEST_TEXT, clean, clean_json},
        time::rfc3339,
    },
};

/// Timeout for reading a request, and for writing its response.
const IO_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for writing why a connection ends.
const LAST_ANSWER: Duration = Duration::from_millis(200);
/// Maximum wait of `Follow` without a change.
const FOLLOW: Duration = Duration::from_secs(8);
/// Latest year of a time in a request.
const LAST_YEAR: i32 = 9999;
/// Maximum length of the version in a request.
const LONGEST_VERSION: usize = 50;

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process listens on it.
    #[error("another daemon listens on {}; give this one its own [daemon] control_socket", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// A file of another kind is there; it is not removed.
    #[error("{} is there and is no socket; give [daemon] control_socket a path of its own", path.display())]
    NotOurs {
        /// Kind of the file.
        path: PathBuf,
    },
    /// It cannot be created.
    #[error("cannot open the control socket {}", path.display())]
    Open {
        /// The socket.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

/// The bound socket; its file is removed on drop.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Binds it with mode 0660. Replaces a stale socket, rejects a live one.
    pub async fn bind(path: &Path) -> Result<Self, SocketError> {
        let open = |source| SocketError::Open { path: path.to_owned(), source };
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => match UnixStream::connect(path).await {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path).map_err(open)?;
                }
                // One that is too busy to accept is live too.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(open(error)),
                _ => return Err(SocketError::InUse { path: path.to_owned() }),
            },
            // A link of a former daemon, see `signposts`.
            Ok(found) if found.file_type().is_symlink() => match UnixStream::connect(path).await {
                Ok(_) => return Err(SocketError::InUse { path: path.to_owned() }),
                Err(_) => std::fs::remove_file(path).map_err(open)?,
            },
            Ok(_) => return Err(SocketError::NotOurs { path: path.to_owned() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(open(error)),
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(open)?;
        }
        let listener = UnixListener::bind(path).map_err(open)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(open)?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Serves until `stop`.
    pub async fn serve(self, shared: Arc<DaemonContext>, stop: CancellationToken) {
        let clients = Clients::new();
        loop {
            let stream = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        // Probably out of file descriptors: wait for some to be closed.
                        tracing::warn!(error = &error as &dyn std::error::Error, "a control connection failed");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        continue;
                    }
                },
            };
            let (shared, clients) = (Arc::clone(&shared), Arc::clone(&clients));
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    served = serve_one(stream, &shared, &clients) => if let Err(error) = served {
                        tracing::debug!(error = chain(&error), "a control request was not served");
                    }
                }
            });
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // It may be gone already: a stale one is replaced at the next start.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve_one(mut stream: UnixStream, shared: &DaemonContext, clients: &Arc<Clients>) -> Result<(), ControlError> {
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let reading = clients.connected(uid.unwrap_or(u32::MAX));
    let request = control::read::<serde_json::Value>(&mut stream, MAX_REQUEST);
    let who = uid.map_or_else(|| "unknown".to_owned(), who::person);
    let read = tokio::select! {
        () = reading.ended.cancelled() => Err(format!(
            "the daemon has too many connections of {who} that send nothing; end the programs that hold them, and try again"
        )),
        read = tokio::time::timeout(IO_TIMEOUT, request) => read.map_err(|_| {
            format!("no whole request came within {} s", IO_TIMEOUT.as_secs())
        }),
    };
    let read = match read {
        Ok(read) => read,
        Err(message) => return refuse(&mut stream, message).await,
    };
    let _served = reading.served().await;
    let reply = match read {
        Ok(envelope) if envelope.protocol == PROTOCOL => match request_in(envelope.body) {
            Ok(request) => {
                let only_asks = request.only_asks();
                let reply = answer(request, who, shared, clients).await;
                if !only_asks {
                    shared.activate();
                }
                reply
            }
            Err(error) => Reply::Failed { message: not_understood(&envelope.version, &error) },
        },
        Ok(_) => Reply::OtherProtocol,
        Err(ControlError::Broken(error)) => return Err(ControlError::Broken(error)),
        Err(error) => Reply::Failed { message: chain(&error) },
    };
    // A client that does not read its response must not occupy a place for ever.
    match tokio::time::timeout(IO_TIMEOUT, control::write(&mut stream, reply)).await {
        Ok(Err(error @ ControlError::TooLong { .. })) => {
            let reply = Reply::Failed { message: format!("the reply is too large: {error}") };
            tokio::time::timeout(IO_TIMEOUT, control::write(&mut stream, reply)).await.unwrap_or(Ok(()))
        }
        written => written.unwrap_or(Ok(())),
    }
}

/// Says why a connection ends without an answer. Nobody waits for a client that does not read it.
async fn refuse(stream: &mut UnixStream, message: String) -> Result<(), ControlError> {
    let written = control::write(stream, Reply::Failed { message });
    tokio::time::timeout(LAST_ANSWER, written).await.unwrap_or(Ok(()))
}

/// The request in a message; its texts are cleaned before anything else has them.
fn request_in(mut body: serde_json::Value) -> Result<Request, serde_json::Error> {
    clean_json(&mut body, LONGEST_TEXT);
    serde_json::from_value(body)
}

/// An unknown request of this protocol comes from another version.
fn not_understood(theirs: &str, error: &serde_json::Error) -> String {
    let (ours, theirs) = (env!("CARGO_PKG_VERSION"), clean(theirs, LONGEST_VERSION));
    let error = chain(error);
    format!("the daemon, of version {ours}, does not know this request of version {theirs} ({error}): {OUTDATED}")
}

async fn answer(request: Request, who: String, shared: &DaemonContext, clients: &Clients) -> Reply {
    // Later times are beyond what a history and a clock of some zone can have.
    if request.until().is_some_and(|until| until.year() > LAST_YEAR) {
        return Reply::Failed {
            message: format!("a time after the year {LAST_YEAR} is too late; leave it out for no end"),
        };
    }
    if let Some(message) = not_in_force::of(&request, shared).await {
        return Reply::NotFound { message };
    }
    match request {
        Request::Status { all } => match shared.status(all).await {
            Ok(status) => Reply::Status(Box::new(status)),
            Err(error) => Reply::Failed { message: chain(&error) },
        },
        Request::StatusOf { schedule } => match shared.status_of(&schedule).await {
            Ok(Some(status)) => Reply::Status(Box::new(status)),
            Ok(None) => Reply::NotFound { message: not_in_force::nowhere(&schedule, shared).await },
            Err(error) => Reply::Failed { message: chain(&error) },
        },
        Request::Locate => Reply::Located {
            config_path: control::canonical(&shared.config_path),
            control_socket: shared.started_with.daemon.control_socket.clone(),
            state_dir: shared.started_with.daemon.state_dir.clone(),
            standstill: standstill(&shared.engine.borrow()).map(Box::new),
            slots_held: slots_held(&shared.engine.borrow(), shared.cloud.clocks(), shared.clock.now()).map(Box::new),
            on_disk: shared.compare_files().into(),
            mode: shared.cloud.mode(),
        },
        Request::Config => match shared.config().to_document() {
            Ok(document) => Reply::Config { document },
            Err(error) => Reply::Failed { message: chain(&error) },
        },
        Request::NextPass => match shared.next_pass().await {
            Ok(next_pass) => Reply::NextPass { next_pass },
            Err(error) => Reply::Failed { message: chain(&error) },
        },
        Request::Bake(selection) => {
            let asked = shared.order(|reply| EngineRequest::Bake { selection, who, reply }).await;
            to_reply(asked, |bakes| Reply::Bakes { bakes })
        }
        Request::Retry { bake } => {
            let asked = shared.order(|reply| EngineRequest::Retry { bake, who, reply }).await;
            to_reply(asked, |bake| Reply::Bakes { bakes: vec![bake] })
        }
        Request::Cancel { bake } => {
            to_reply(shared.order(|reply| EngineRequest::Cancel { bake, who, reply }).await, |()| Reply::Done)
        }
        Request::Pause { schedule, until, reason } => {
            let asked = shared.order(|reply| EngineRequest::Pause { schedule, until, reason, who, reply }).await;
            to_reply(asked, |()| Reply::Done)
        }
        Request::Resume { schedule } => {
            to_reply(shared.order(|reply| EngineRequest::Resume { schedule, who, reply }).await, |()| Reply::Done)
        }
        Request::Follow { bakes, seen } => follow(bakes, seen, shared, clients).await,
        Request::Reload => reload::reload(shared, &who).await,
        Request::Prune { dry_run, again, confirm, despite_failed_bake } => {
            let mode = image_tasks::judging::Mode { dry_run, again, confirm, despite_failed_bake };
            image_tasks::prune::asked(shared, mode, &who).await
        }
        Request::Acknowledge { code, subject, until, reason } => {
            shared.acknowledge(code, subject.as_deref(), Some((reason, until)), who).await
        }
        Request::Unacknowledge { code, subject } => shared.acknowledge(code, subject.as_deref(), None, who).await,
        Request::Pin { image, until, reason } => {
            image_tasks::pins::pin(shared, &image, Pin { until, reason, who }).await
        }
        Request::Unpin { image } => image_tasks::pins::unpin(shared, &image, &who).await,
        Request::Undelete { image } => image_tasks::pins::undelete(shared, &image, who).await,
        Request::Adopt { schedule, instance, wanted, dry_run } => {
            image_tasks::adopt::adopt(shared, &schedule, instance.as_ref(), &wanted, dry_run, who).await
        }
        Request::RetryCopies { bake } => image_tasks::retry_copies::retry(shared, bake, &who).await,
        Request::Promote { image, channel, force, reason } => {
            image_tasks::channels::promote(shared, image, channel, force, reason, &who).await
        }
        Request::Rollback { schedule, instance, channel, reason } => {
            image_tasks::channels::rollback(shared, &schedule, instance.as_ref(), channel, reason, &who).await
        }
        Request::Veto { image, reason } => image_tasks::channels::veto(shared, image, reason, &who).await,
        Request::Unveto { image } => image_tasks::channels::unveto(shared, image, &who).await,
        Request::Reconcile { apply } => reconcile(apply, who, shared).await,
    }
}

fn to_reply<T>(outcome: Result<T, RequestError>, done: impl FnOnce(T) -> Reply) -> Reply {
    outcome.map_or_else(|error| error.to_reply(), done)
}

async fn reconcile(apply: bool, who: String, shared: &DaemonContext) -> Reply {
    let found =
        match reconcile::compare_history(&shared.cloud, shared.store.reader(), &shared.config(), shared.clock.now())
            .await
        {
            Ok(found) => found,
            Err(error) => return Reply::Failed { message: chain(&error) },
        };
    let (differences, failed) = (found.differences.clone(), found.failed.clone());
    if !apply {
        return Reply::Reconciled { differences, failed };
    }
    match shared.order(|reply| EngineRequest::Rebuild { found, who, reply }).await {
        Ok(()) => {
            // Checks of the images are due.
            shared.activate();
            Reply::Reconciled { differences, failed }
        }
        Err(error) => error.to_reply(),
    }
}

/// Waits until one of these bakes may have changed. A time-out is no error: the rows are returned as they are.
async fn follow(mut bakes: Vec<BakeId>, seen: u64, shared: &DaemonContext, clients: &Clients) -> Reply {
    bakes.sort_unstable();
    bakes.dedup();
    if bakes.len() > MOST_FOLLOWED {
        let message = format!("{} bakes are too many to follow at once: at most {MOST_FOLLOWED}", bakes.len());
        return Reply::Failed { message };
    }
    let wait = async {
        let _permit = clients.follow().await;
        shared.changed_within(seen, FOLLOW).await
    };
    let changes = match tokio::time::timeout(FOLLOW, wait).await {
        Ok(Some(changes)) => changes,
        Ok(None) => return Reply::Stopping,
        Err(_) => seen,
    };
    match rows(&bakes, shared).await {
        Ok(rows) => Reply::Rows { rows, changes },
        Err(error) => Reply::Failed { message: chain(&error) },
    }
}

/// Bakes as rows of the history, each with `verify` and `veto` of its image: a bake is good only if its image is. An open
/// one has `begins_until`, `usual_seconds` and `pause`.
async fn rows(bakes: &[BakeId], shared: &DaemonContext) -> Result<Vec<serde_json::Value>, StoreError> {
    let reader = shared.store.reader();
    let mut rows = Vec::with_capacity(bakes.len());
    let (config, now) = (shared.config(), shared.clock.now());
    for &bake in bakes {
        let Some(row) = reader.bake(bake).await? else { continue };
        let check = match row.image_id.as_deref().filter(|_| row.is_ended()) {
            Some(image) => reader.check_of_image(image).await?,
            None => None,
        };
        let open_line = (!row.is_ended()).then(|| LineId::from(row.line_id.as_str()));
        let schedule_id = row.schedule_id.clone();
        let mut json = serde_json::to_value(row).map_err(StoreError::Encode)?;
        let (verify, veto) = check.map(|check| (check.verify, check.veto)).unwrap_or_default();
        json["verify"] = verify.into();
        json["veto"] = veto.into();
        if let Some(line) = open_line {
            let in_file = config.schedules.iter().any(|one| one.paused && one.id.as_str() == schedule_id);
            json["pause"] = if in_file {
                "in the file".into()
            } else {
                let pause = reader.pause_of(&ScheduleId::from(schedule_id)).await?;
                pause.filter(|pause| pause.is_in_force(now)).map(|pause| format!("by {}", pause.who)).into()
            };
            json["begins_until"] = reader.give_up_at(bake).await?.map(rfc3339).into();
            json["usual_seconds"] = reader.usual_duration(&line).await?.map(|usual| usual.as_secs()).into();
        }
        rows.push(json);
    }
    Ok(rows)
}
