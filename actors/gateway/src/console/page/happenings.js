// What went wrong, and what came back? Newest first.

import { brain, on } from './brain.js';
import { arrange, eachFrame, make } from './make.js';
import { count, time, timeOfDay } from './words.js';

const SHOWN = 60;
const BAD = new Set(['down', 'failed', 'faults', 'silent', 'node_silent', 'bus_away']);
const list = document.getElementById('happenings');
const items = new WeakMap();
const nothing = make('li', { className: 'nothing' }, 'Nothing yet. Faults and restarts show here as they happen.');

export function startHappenings() {
  on('change', eachFrame(show));
}

function show() {
  const newest = brain.happened.slice(-SHOWN).reverse();
  arrange(list, newest.length ? newest.map(itemOf) : [nothing]);
}

function itemOf(happened) {
  const known = items.get(happened);
  if (known) return known;
  const when = new Date(happened.at_ms - brain.ahead);
  const item = make(
    'li',
    { className: BAD.has(happened.what) ? 'bad' : '' },
    make('time', { dateTime: when.toISOString() }, timeOfDay(when)),
    make('p', {}, make('b', {}, nameOf(happened)), ` ${words(happened)}`, reason(happened)),
  );
  items.set(happened, item);
  return item;
}

/** Whom it happened to: a model, and which instance where it has several. */
function nameOf({ who, instance }) {
  const several = [...brain.models.values()].filter(({ model }) => model === who).length > 1;
  return (several && instance) || who || 'the bus';
}

function words({ what, count: number, fault }) {
  switch (what) {
    case 'ready': return 'serves';
    case 'down': return 'went down';
    case 'restarting': return 'is started again';
    case 'failed': return 'failed, and is not started again';
    case 'draining': return 'takes nothing new';
    case 'faults': return `answered ${count(number, 'work')} with ${theFault(number, fault)}`;
    case 'silent': return 'was not heard for some seconds';
    case 'node_here': return 'is here';
    case 'node_silent': return 'was not heard for some seconds';
    case 'bus_away': return 'cannot be reached';
    case 'bus_back': return 'is back';
    default: return what;
  }
}

/** Of several only the last one's kind is known. */
function theFault(number, fault) {
  if (!fault) return 'a fault';
  return number > 1 ? `a fault, the last ${fault}` : `the fault ${fault}`;
}

function reason({ what, reason, retry_after_ms: retry }) {
  const texts = [reason, what === 'down' && retry ? `again in ${time(retry)}` : undefined].filter(Boolean);
  return texts.length ? make('span', { className: 'reason' }, texts.join(' · ')) : undefined;
}
