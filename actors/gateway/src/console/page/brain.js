// What is known of the brain? What the feed told, and who wants to hear of it.

/** How many happenings are kept. */
const KEPT = 200;

export const brain = {
  /** Nodes by name. */
  nodes: new Map(),
  /** Instances of models by name. */
  models: new Map(),
  /** What happened, oldest first. */
  happened: [],
  /** Whether the node reaches the bus. */
  onBus: true,
  /** By how much the node's clock is ahead of ours, in milliseconds. */
  ahead: 0,
};

const listeners = { model: new Set(), change: new Set(), happened: new Set() };

/**
 * Calls `listener` after every `change`; for every `model` with what it was before and is now; for every thing that
 * `happened` from now on.
 */
export function on(what, listener) {
  listeners[what].add(listener);
}

function tell(what, ...about) {
  for (const listener of listeners[what]) listener(...about);
}

const readers = {
  state(state) {
    brain.nodes = new Map(state.nodes.map((node) => [node.name, node]));
    brain.models = new Map(state.models.map((model) => [model.instance, model]));
    brain.happened = state.happened;
    brain.onBus = state.on_bus;
    brain.ahead = state.now_ms - Date.now();
  },
  model(model) {
    const before = brain.models.get(model.instance);
    brain.models.set(model.instance, model);
    tell('model', before, model);
  },
  gone(instance) {
    brain.models.delete(instance);
  },
  node(node) {
    brain.nodes.set(node.name, node);
  },
  node_gone(name) {
    brain.nodes.delete(name);
  },
  happened(happened) {
    brain.happened = [...brain.happened, happened].slice(-KEPT);
    tell('happened', happened);
  },
  on_bus(onBus) {
    brain.onBus = onBus;
  },
};

/** Takes in a line of the feed. What a newer brain tells beside, is left. */
export function takeIn(line) {
  for (const [what, about] of Object.entries(line)) readers[what]?.(about);
  tell('change');
}
