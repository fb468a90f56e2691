// What is on the page? The parts, each of which listens for what it shows.

import { startAsk } from './ask.js';
import { brain, on } from './brain.js';
import { startDevices } from './devices.js';
import { listen } from './feed.js';
import { startHappenings } from './happenings.js';
import { startKey } from './key.js';
import { eachFrame, say } from './make.js';
import { startModels } from './models.js';
import { startTraffic } from './traffic.js';
import { about } from './words.js';

const where = document.getElementById('where');
const link = document.getElementById('link');

startKey();
startModels();
startTraffic();
startDevices();
startHappenings();
startAsk();

let state = 'connecting';
on('change', eachFrame(showLink));
listen((now) => {
  state = now;
  showLink();
});

function showLink() {
  const nodes = [...brain.nodes.values()];
  say(where, nodes.map(({ name, up_ms: up, cores }) => `${name} · ${cores} cores · up ${about(up)}`).join(', '));
  const now = state === 'live' && !brain.onBus ? 'no bus' : state;
  document.body.dataset.link = now;
  say(link, { live: 'live', lost: 'connection lost, trying again', key: 'needs a key', 'no bus': 'the bus cannot be reached', connecting: 'connecting' }[now]);
}
