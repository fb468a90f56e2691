//! Who looks after router and models? The root of the node's supervision tree.

use std::time::Duration;

use megabrain_bus::Bus;
use megabrain_router::{OpenAsks, Router, RouterMessage};
use megabrain_runtime::supervision::{GuardHandle, ModelActor, ModelMessage, ModelSpec, SharedRoster};
use megabrain_schemas::subject::event;
use megabrain_schemas::{Name, Presence};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};

/// The root of the supervision tree: starts router and models, and starts again what ends.
pub struct Supervisor {
    pub(crate) bus: Bus,
    pub(crate) guard: GuardHandle,
    pub(crate) roster: SharedRoster,
    pub(crate) asks: OpenAsks,
}

/// What the [`Supervisor`] is told.
pub enum SupervisorMessage {
    /// Route with these settings, as this node.
    Route(Box<megabrain_router::Config>, Name),
    /// Keep this model's process alive.
    Start(Box<ModelSpec>),
    /// Tell a presence of a model that has no process yet.
    Tell(Box<Presence>),
    /// Drain and stop every model; answers when all have ended.
    StopAll(RpcReplyPort<()>),
}

/// What the [`Supervisor`] remembers.
#[derive(Default)]
pub struct Children {
    router: Option<(Box<megabrain_router::Config>, Name, Option<ActorRef<RouterMessage>>)>,
    models: Vec<(ModelSpec, ActorRef<ModelMessage>)>,
}

impl Actor for Supervisor {
    type Msg = SupervisorMessage;
    type State = Children;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<SupervisorMessage>, (): ()) -> Result<Children, ActorProcessingErr> {
        Ok(Children::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<SupervisorMessage>,
        message: SupervisorMessage,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SupervisorMessage::Route(config, node) => {
                let router = self.spawn_router(&myself, &config, &node).await?;
                children.router = Some((config, node, Some(router)));
            }
            SupervisorMessage::Start(spec) => {
                let model = self.spawn_model(&myself, &spec).await?;
                children.models.push((*spec, model));
            }
            SupervisorMessage::Tell(presence) => self.bus.tell(event::PRESENCE, &presence.instance, &*presence),
            SupervisorMessage::StopAll(done) => stop_all(children, done),
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<SupervisorMessage>,
        event: SupervisionEvent,
        children: &mut Children,
    ) -> Result<(), ActorProcessingErr> {
        let (ended, reason) = match event {
            SupervisionEvent::ActorFailed(actor, error) => (actor.get_id(), error.to_string()),
            SupervisionEvent::ActorTerminated(actor, _, reason) => (actor.get_id(), reason.unwrap_or_default()),
            _ => return Ok(()),
        };
        if let Some((config, node, router)) = &mut children.router
            && router.as_ref().is_some_and(|router| router.get_id() == ended)
        {
            tracing::error!(reason, "the router ended and is started again");
            *router = Some(self.spawn_router(&myself, config, node).await?);
        }
        for (spec, model) in &mut children.models {
            if model.get_id() == ended {
                tracing::error!(model = %spec.model, reason, "a model's supervisor ended and is started again");
                *model = self.spawn_model(&myself, spec).await?;
            }
        }
        Ok(())
    }
}

impl Supervisor {
    async fn spawn_router(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        config: &megabrain_router::Config,
        node: &Name,
    ) -> Result<ActorRef<RouterMessage>, ActorProcessingErr> {
        let router = Router {
            bus: self.bus.clone(),
            roster: self.roster.clone(),
            config: config.clone(),
            node: node.clone(),
            asks: self.asks.clone(),
        };
        Ok(Actor::spawn_linked(None, router, (), myself.get_cell()).await?.0)
    }

    async fn spawn_model(
        &self,
        myself: &ActorRef<SupervisorMessage>,
        spec: &ModelSpec,
    ) -> Result<ActorRef<ModelMessage>, ActorProcessingErr> {
        let model = ModelActor { bus: self.bus.clone(), guard: self.guard.clone(), roster: self.roster.clone() };
        Ok(Actor::spawn_linked(None, model, spec.clone(), myself.get_cell()).await?.0)
    }
}

/// Tells every model to stop and waits for them in a task of its own: a handler never waits.
fn stop_all(children: &Children, done: RpcReplyPort<()>) {
    let models: Vec<(ActorRef<ModelMessage>, Duration)> =
        children.models.iter().map(|(spec, model)| (model.clone(), spec.drain + Duration::from_secs(4))).collect();
    tokio::spawn(async move {
        let mut stops = tokio::task::JoinSet::new();
        for (model, limit) in models {
            stops.spawn(async move { model.call(ModelMessage::Stop, Some(limit)).await });
        }
        while stops.join_next().await.is_some() {}
        let _ = done.send(());
    });
}
