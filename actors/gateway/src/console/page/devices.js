// What lives where, and how much room is left? A bar for each memory, a piece of it for each model.

import { brain, on } from './brain.js';
import { arrange, eachFrame, make, mark, say } from './make.js';
import { size } from './words.js';

const place = document.getElementById('devices');
const bars = new Map();

export function startDevices() {
  on('change', eachFrame(show));
  addEventListener('lit', ({ detail }) => {
    for (const piece of place.querySelectorAll('.piece')) piece.classList.toggle('lit', piece.dataset.instance === detail);
    place.classList.toggle('some-lit', Boolean(detail));
  });
}

function show() {
  const devices = [...brain.nodes.values()].flatMap(devicesOf);
  arrange(place, devices.map(showDevice));
}

/** The memory of a node, then its cards: those that it tells of, and those that models say they live on. */
function devicesOf(node) {
  const models = [...brain.models.values()].filter((model) => (model.node ?? node.name) === node.name);
  const where = brain.nodes.size > 1 ? `${node.name}, ` : '';
  const residents = models.map(({ instance, model, memory_bytes }) => ({ instance, model, bytes: memory_bytes }));
  const node_itself = { instance: '', model: 'the node itself', bytes: node.resident_bytes };
  const memory = {
    key: `${node.name} ram`,
    name: `${where}main memory`,
    total: node.memory_bytes,
    free: node.memory_available_bytes,
    pieces: [...residents, node_itself],
  };
  const told = node.cards ?? [];
  const names = new Set([...told.map(({ name }) => name), ...models.map(({ device }) => device)]);
  const cards = [...names].filter((name) => name && name !== 'ram').sort();
  return [memory, ...cards.map((name) => {
    const { memory_bytes: total, description } = told.find((card) => card.name === name) ?? {};
    const pieces = models.filter(({ device }) => device === name).map(({ instance, model, device_memory_bytes }) => ({ instance, model, bytes: device_memory_bytes ?? 0 }));
    return { key: `${node.name} ${name}`, name: `${where}${name}`, description, total, pieces };
  })];
}

function showDevice({ key, name, description, total, free, pieces }) {
  const bar = bars.get(key) ?? newBar(key);
  const shown = pieces.filter(({ bytes }) => bytes > 0).sort((one, other) => other.bytes - one.bytes);
  const ours = shown.reduce((sum, { bytes }) => sum + bytes, 0);
  const all = total || ours || 1;
  // What is mapped counts for a model, and yet may be given back: together they never are more than the whole.
  const others = free === undefined ? 0 : Math.max(0, all - free - ours);
  say(bar.name, name);
  say(bar.description, description ?? '');
  say(bar.total, total ? size(total) : '');
  arrange(bar.bar, [...shown.map((piece) => showPiece(bar, piece, all)), bar.others]);
  bar.others.style.width = `${(others / all) * 100}%`;
  bar.others.title = `others: ${size(others)}`;
  const left = free ?? (total ? all - ours : undefined);
  const words = [`models ${size(ours)}`, others ? `others ${size(others)}` : '', left === undefined ? '' : `free ${size(left)}`];
  say(bar.words, words.filter(Boolean).join(' · '));
  mark(bar.bar, 'aria-label', `${name}: ${bar.words.textContent}${total ? ` of ${size(total)}` : ''}`);
  return bar.element;
}

function showPiece(bar, { instance, model, bytes }, all) {
  const piece = bar.pieces.get(instance) ?? make('span', { className: instance ? 'piece' : 'piece node', 'data-instance': instance });
  bar.pieces.set(instance, piece);
  piece.style.width = `${(bytes / all) * 100}%`;
  piece.title = `${model}: ${size(bytes)}`;
  return piece;
}

function newBar(key) {
  const parts = {
    name: make('span', { className: 'name' }),
    description: make('span', { className: 'about' }),
    total: make('span', { className: 'total' }),
    bar: make('div', { className: 'bar', role: 'img' }),
    others: make('span', { className: 'others' }),
    words: make('p', { className: 'about' }),
    pieces: new Map(),
  };
  parts.element = make('div', { className: 'device' }, make('p', { className: 'title' }, parts.name, parts.description, parts.total), parts.bar, parts.words);
  bars.set(key, parts);
  return parts;
}
