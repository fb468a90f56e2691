//! How does one model's process live, die and come back?

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use megabrain_bus::Bus;
use megabrain_schemas::subject::event;
use megabrain_schemas::{ModelState, Name, Presence};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::guard::SharedRoster;
use super::lookout::GuardHandle;
use crate::run::CANNOT_LOAD;

/// The first delay before a process is started again; it doubles with every death.
const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest delay.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A process that lived this long has earned a fresh start.
const HEALTHY: Duration = Duration::from_secs(30);
/// A process that could not load its model told why over the bus; that may come after the news of its end, by so much.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// While there is no process, this actor tells its presence instead, this often.
const BEAT: Duration = Duration::from_secs(1);

/// What to run for one instance of a model.
#[derive(Clone, Debug)]
pub struct ModelSpec {
    /// The model.
    pub model: Name,
    /// The instance.
    pub instance: Name,
    /// The kind of actor.
    pub actor: Name,
    /// The node that runs it.
    pub node: Name,
    /// Wrapper and its arguments, ending before the actor's program: `megabrain child --`.
    pub launcher: Vec<String>,
    /// The actor's program.
    pub program: PathBuf,
    /// Its arguments, without the restart count.
    pub arguments: Vec<String>,
    /// Its environment, beside what it inherits.
    pub environment: Vec<(String, String)>,
    /// How long it may take to finish what runs when told to stop.
    pub drain: Duration,
    /// How often it was tried before in vain.
    pub restarts: u32,
}

/// Keeps one process of a model alive.
pub struct ModelActor {
    /// The bus to tell presence on.
    pub bus: Bus,
    /// Who answers for the process when it dies.
    pub guard: GuardHandle,
    /// Where the process' own last words are read.
    pub roster: SharedRoster,
}

/// What a [`ModelActor`] is told.
pub enum ModelMessage {
    /// Start the process, if there is none.
    Start,
    /// The process with this number has ended.
    Exited(u32, std::io::Result<ExitStatus>),
    /// Tell the presence, if there is no process that does.
    Beat,
    /// Drain and stop the process, and start it no more; answers when it has ended.
    Stop(RpcReplyPort<()>),
    /// Kill the process with this number, if it is still there: it was told to stop long ago.
    Kill(u32),
}

/// What a [`ModelActor`] remembers.
pub struct ModelLife {
    spec: ModelSpec,
    presence: Presence,
    process: Option<Process>,
    deaths_in_a_row: u32,
    next_start: Instant,
    is_stopping: bool,
    stopped: Option<RpcReplyPort<()>>,
}

struct Process {
    pid: u32,
    started: Instant,
}

impl Actor for ModelActor {
    type Msg = ModelMessage;
    type State = ModelLife;
    type Arguments = ModelSpec;

    /// Starts nothing yet: a model is never loaded in a start hook.
    async fn pre_start(
        &self,
        myself: ActorRef<ModelMessage>,
        spec: ModelSpec,
    ) -> Result<ModelLife, ActorProcessingErr> {
        let presence = Presence {
            actor: spec.actor.clone(),
            node: Some(spec.node.clone()),
            restarts: spec.restarts,
            ..Presence::unknown(&spec.instance, &spec.model)
        };
        myself.cast(ModelMessage::Start)?;
        myself.send_interval(BEAT, || ModelMessage::Beat);
        Ok(ModelLife {
            spec,
            presence,
            process: None,
            deaths_in_a_row: 0,
            next_start: Instant::now(),
            is_stopping: false,
            stopped: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<ModelMessage>,
        message: ModelMessage,
        life: &mut ModelLife,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ModelMessage::Start => self.start(&myself, life),
            ModelMessage::Exited(pid, status) => self.exited(&myself, life, pid, &status),
            ModelMessage::Beat => self.beat(life),
            ModelMessage::Stop(done) => self.stop(&myself, life, done),
            ModelMessage::Kill(pid) => self.kill(life, pid),
        }
        Ok(())
    }
}

impl ModelActor {
    fn start(&self, myself: &ActorRef<ModelMessage>, life: &mut ModelLife) {
        if life.process.is_some() || life.is_stopping {
            return;
        }
        match command(&life.spec, life.presence.restarts).spawn() {
            Ok(mut child) => {
                let pid = child.id().unwrap_or(0);
                life.process = Some(Process { pid, started: Instant::now() });
                life.presence.pid = pid;
                life.presence.state = ModelState::Starting;
                life.presence.reason = None;
                life.presence.retry_after_ms = None;
                self.tell(life, event::PRESENCE);
                let (myself, roster, instance) = (myself.clone(), self.roster.clone(), life.spec.instance.clone());
                tokio::spawn(async move {
                    let status = child.wait().await;
                    if status.as_ref().is_ok_and(|status| status.code() == Some(i32::from(CANNOT_LOAD))) {
                        let _ = tokio::time::timeout(LAST_WORDS, said_why(&roster, &instance, pid)).await;
                    }
                    // An actor that has ended no longer wants to know.
                    let _ = myself.cast(ModelMessage::Exited(pid, status));
                });
            }
            Err(error) => {
                let reason = format!("cannot start {}: {error}", life.spec.program.display());
                self.down(myself, life, reason);
            }
        }
    }

    fn exited(
        &self,
        myself: &ActorRef<ModelMessage>,
        life: &mut ModelLife,
        pid: u32,
        status: &std::io::Result<ExitStatus>,
    ) {
        let Some(process) = life.process.take_if(|process| process.pid == pid) else { return };
        if process.started.elapsed() > HEALTHY {
            life.deaths_in_a_row = 0;
        }
        if life.is_stopping {
            life.presence.state = ModelState::Failed;
            life.presence.reason = Some("stopped".into());
            life.presence.pid = 0;
            self.guard.died(life.presence.clone());
            self.tell(life, event::DOWN);
            if let Some(done) = life.stopped.take() {
                let _ = done.send(());
            }
            return;
        }
        let last_words = reason_of(&self.roster, &life.spec.instance, pid);
        let reason = last_words.unwrap_or_else(|| match status {
            Ok(status) => format!("its process ended: {status}"),
            Err(error) => format!("its process was lost: {error}"),
        });
        self.down(myself, life, reason);
    }

    fn down(&self, myself: &ActorRef<ModelMessage>, life: &mut ModelLife, reason: String) {
        let delay = FIRST_DELAY.saturating_mul(1 << life.deaths_in_a_row.min(12)).min(LONGEST_DELAY);
        tracing::warn!(model = %life.spec.model, %reason, restart_in = ?delay, "model down");
        life.deaths_in_a_row += 1;
        life.next_start = Instant::now() + delay;
        life.presence.state = ModelState::Backoff;
        life.presence.reason = Some(reason);
        life.presence.pid = 0;
        life.presence.restarts += 1;
        life.presence.retry_after_ms = Some(to_millis(delay));
        self.guard.died(life.presence.clone());
        self.tell(life, event::DOWN);
        myself.send_after(delay, || ModelMessage::Start);
    }

    fn beat(&self, life: &mut ModelLife) {
        if life.process.is_none() && !life.is_stopping {
            let left = life.next_start.saturating_duration_since(Instant::now());
            life.presence.retry_after_ms = Some(to_millis(left));
            self.tell(life, event::PRESENCE);
        }
    }

    fn stop(&self, myself: &ActorRef<ModelMessage>, life: &mut ModelLife, done: RpcReplyPort<()>) {
        life.is_stopping = true;
        let Some(process) = &life.process else {
            let _ = done.send(());
            return;
        };
        let pid = process.pid;
        life.stopped = Some(done);
        if let Err(error) = signal(pid, Signal::TERM) {
            tracing::debug!(%error, model = %life.spec.model, "process not told to stop");
        }
        // Still there after its drain time and some: it hangs.
        myself.send_after(life.spec.drain + Duration::from_secs(3), move || ModelMessage::Kill(pid));
    }

    fn kill(&self, life: &ModelLife, pid: u32) {
        // As long as we have not heard of its end it is our child, and its number nobody else's.
        if life.process.as_ref().is_some_and(|process| process.pid == pid) {
            tracing::warn!(model = %life.spec.model, "killed: it did not stop when told to");
            let _ = signal(pid, Signal::KILL);
        }
    }

    fn tell(&self, life: &ModelLife, kind: &str) {
        self.bus.tell(kind, &life.spec.instance, &life.presence);
    }
}

/// Waits until this process of the instance has told why it does not serve. Cancel-safe.
async fn said_why(roster: &SharedRoster, instance: &Name, pid: u32) {
    loop {
        let changed = roster.changed();
        if reason_of(roster, instance, pid).is_some() {
            return;
        }
        changed.await;
    }
}

/// What this process of the instance told of itself last.
fn reason_of(roster: &SharedRoster, instance: &Name, pid: u32) -> Option<String> {
    roster.lock().get(instance).filter(|presence| presence.pid == pid).and_then(|presence| presence.reason.clone())
}

fn command(spec: &ModelSpec, restarts: u32) -> Command {
    let mut words = spec.launcher.iter();
    let mut command = match words.next() {
        Some(launcher) => {
            let mut command = Command::new(launcher);
            command.args(words).arg(&spec.program);
            command
        }
        None => Command::new(&spec.program),
    };
    command
        .args(&spec.arguments)
        .args(["--restarts", &restarts.to_string()])
        .envs(spec.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

fn signal(pid: u32, signal: Signal) -> rustix::io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(rustix::io::Errno::SRCH)?;
    kill_process(pid, signal)
}

fn to_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
