// Which models are there, how are they, and what have they to do? A line to each from the router, as on a map of trains.

import { brain, on } from './brain.js';
import { arrange, eachFrame, make, mark, say } from './make.js';
import { Spark } from './spark.js';
import { count, size, speed, time } from './words.js';

/** Senses first, then minds, then the rest. */
const ORDER = ['split', 'transcribe', 'see', 'chat', 'speak', 'embed', 'rerank', 'echo'];
/** More slots than this are a number, not dots. */
const MOST_DOTS = 8;

const map = document.getElementById('models');
const sum = document.getElementById('models-sum');
const router = station('router', 'router');
const rows = new Map();

export function startModels() {
  on('change', eachFrame(show));
  on('model', (_, model) => {
    const row = rows.get(model.instance);
    row?.spark.push(model.in_flight > 0 ? model.tokens_per_second : 0);
  });
}

/** The element of the router's station. */
export function routerStation() {
  return router.element.querySelector('.station');
}

/** The elements of a model's stations. */
export function stationsOf(model) {
  return [...rows.values()].filter((row) => row.model === model).map((row) => row.element.querySelector('.station'));
}

function show() {
  const models = [...brain.models.values()].sort(inOrder);
  const alone = new Map();
  for (const { model } of models) alone.set(model, (alone.get(model) ?? 0) + 1);
  for (const instance of rows.keys()) if (!brain.models.has(instance)) rows.delete(instance);
  const elements = models.map((model) => {
    const row = rows.get(model.instance) ?? newRow(model);
    fillRow(row, model, alone.get(model.model) > 1);
    return row.element;
  });
  showRouter();
  arrange(map, [router.element, ...elements]);
  // The line is lit as far as there is work.
  const last = elements.findLastIndex((element) => element.dataset.state === 'working');
  [router.element, ...elements].forEach((element, index) => element.classList.toggle('on-the-way', index <= last));
  const ready = models.filter((model) => model.state === 'ready').length;
  const tokens = models.reduce((total, model) => total + (model.in_flight > 0 ? model.tokens_per_second : 0), 0);
  say(sum, models.length ? `${ready} of ${models.length} ready${tokens >= 0.05 ? `, ${speed(tokens)} tokens a second` : ''}` : 'none yet');
}

function showRouter() {
  const nodes = [...brain.nodes.values()].filter((node) => node.router);
  const asks = nodes.reduce((total, node) => total + node.asks_in_flight, 0);
  router.element.dataset.state = nodes.length ? (asks ? 'working' : 'ready') : 'gone';
  say(router.about, nodes.length ? 'asks the models, joins what they find' : 'not there: nobody takes questions');
  say(router.load, asks ? count(asks, 'question') : '');
}

function station(kind, name) {
  const about = make('span', { className: 'about' });
  const load = make('span', { className: 'load' });
  const head = make('span', { className: 'name' }, name);
  const element = make('div', { className: `row ${kind}` }, make('span', { className: 'station', 'aria-hidden': 'true' }), make('span', { className: 'names' }, head, about), load);
  return { element, about, load, head };
}

function newRow(model) {
  const spark = new Spark();
  const parts = {
    head: make('span', { className: 'name' }),
    about: make('span', { className: 'about' }),
    dots: make('span', { className: 'dots', 'aria-hidden': 'true' }),
    load: make('span', { className: 'load' }),
    speed: make('span', { className: 'speed', title: 'in its last second of work' }),
    details: make('dl', {}),
  };
  const summary = make(
    'summary',
    { className: 'row' },
    make('span', { className: 'station', 'aria-hidden': 'true' }),
    make('span', { className: 'names' }, parts.head, parts.about),
    make('span', { className: 'pace' }, spark.element, parts.speed),
    make('span', { className: 'work' }, parts.dots, parts.load),
  );
  const element = make('details', { className: 'model', 'data-instance': model.instance, 'data-model': model.model }, summary, parts.details);
  const light = (instance) => () => dispatchEvent(new CustomEvent('lit', { detail: instance }));
  for (const event of ['pointerenter', 'focusin']) element.addEventListener(event, light(model.instance));
  for (const event of ['pointerleave', 'focusout']) element.addEventListener(event, light(undefined));
  const row = { ...parts, element, spark, model: model.model, now: model };
  element.addEventListener('toggle', () => showDetails(row.details, row.now));
  rows.set(model.instance, row);
  return row;
}

function fillRow(row, model, isOneOfSeveral) {
  row.now = model;
  const isWorking = model.state === 'ready' && model.in_flight > 0;
  mark(row.element, 'data-state', isWorking ? 'working' : model.state);
  say(row.head, isOneOfSeveral ? model.instance : model.model);
  say(row.about, aboutOf(model));
  showDots(row.dots, model);
  const load = loadOf(model);
  say(row.load, load);
  row.element.classList.toggle('waiting', model.queued > 0);
  // How fast it was counts for as long as the line shows it.
  say(row.speed, model.tokens_per_second > 0 && !row.spark.isFlat ? `${speed(model.tokens_per_second)} tok/s` : '');
  if (row.element.open) showDetails(row.details, model);
}

function aboutOf(model) {
  switch (model.state) {
    case 'ready':
      return [doing(model), model.device].filter(Boolean).join(' · ');
    case 'starting':
      return 'its process is being started';
    case 'loading':
      return model.progress > 0 && model.progress < 1 ? `loading, ${Math.round(model.progress * 100)} %` : 'loading';
    case 'draining':
      return 'finishes what it has, takes nothing new';
    case 'backoff':
      return `${model.reason ?? 'down'}${model.retry_after_ms ? `; again in ${time(model.retry_after_ms)}` : ''}`;
    default:
      return model.reason ?? model.state;
  }
}

function doing(model) {
  const words = { split: 'film', transcribe: 'hearing', see: 'sight', chat: 'thought', speak: 'voice', embed: 'vectors', rerank: 'ranks', echo: 'echo' };
  return model.capabilities.map((capability) => words[capability] ?? capability).join(', ');
}

function loadOf(model) {
  if (model.state !== 'ready') return '';
  const working = model.in_flight ? `${model.in_flight} at work` : 'idle';
  return model.queued ? `${working}, ${model.queued} waiting` : working;
}

function showDots(element, model) {
  const isShown = model.state === 'ready' && model.slots <= MOST_DOTS;
  const wanted = isShown ? model.slots : 0;
  while (element.childElementCount > wanted) element.lastElementChild.remove();
  while (element.childElementCount < wanted) element.append(make('i'));
  [...element.children].forEach((dot, index) => dot.classList.toggle('on', index < model.in_flight));
}

function showDetails(list, model) {
  const rows = [
    ['actor', model.actor],
    ['instance', model.instance],
    ['process', model.pid || 'none'],
    ['memory', model.memory_bytes ? size(model.memory_bytes) : undefined],
    ['on the device', model.device_memory_bytes ? size(model.device_memory_bytes) : undefined],
    ['context', model.context ? count(model.context, 'token') : undefined],
    ['at once', model.slots ? `${model.slots.toLocaleString('en')}, ${model.queue_limit.toLocaleString('en')} may wait` : undefined],
    ['threads', model.threads || undefined],
    ['answered', `${model.finished.toLocaleString('en')}${model.faults ? `, ${count(model.faults, 'fault')}` : ''}`],
    ['restarts', model.restarts],
  ].filter(([, value]) => value !== undefined);
  const wanted = rows.flatMap(([name, value]) => [name, String(value)]);
  if (list.childElementCount === wanted.length) {
    [...list.children].forEach((child, index) => say(child, wanted[index]));
    return;
  }
  list.replaceChildren(...wanted.map((text, index) => make(index % 2 ? 'dd' : 'dt', {}, text)));
}

function inOrder(one, other) {
  const rank = (model) => {
    const ranks = model.capabilities.map((capability) => ORDER.indexOf(capability)).map((rank) => (rank < 0 ? ORDER.length : rank));
    return Math.min(ORDER.length, ...ranks);
  };
  return rank(one) - rank(other) || one.instance.localeCompare(other.instance, 'en', { numeric: true });
}
