// How does work move through the actors? As dots on the map's lines: out when it is taken, back when it is done.

import { on } from './brain.js';
import { mayMove } from './make.js';
import { routerStation, stationsOf } from './models.js';

/** Dots on their way at the same time; what is more is not drawn. */
const MOST = 24;
/** Of one model and one second. */
const MOST_AT_ONCE = 6;

const map = document.getElementById('models').parentElement;
/** Works of our own that were drawn when their legs began or ended, and will be told of by presence, too. */
const drawn = new Map();
let moving = 0;

export function startTraffic() {
  on('model', (before, now) => {
    if (!before || before.pid !== now.pid) return;
    const done = Math.max(0, now.finished - before.finished);
    const taken = Math.max(0, done + now.in_flight + now.queued - before.in_flight - before.queued);
    send(now.model, 'out', taken - alreadyDrawn(now.model, 'out', taken));
    send(now.model, 'back', done - alreadyDrawn(now.model, 'back', done));
  });
}

/** A leg of a question of this page begins or ends: drawn at once. */
export function drawLeg(model, way) {
  const key = `${model} ${way}`;
  // Presence tells of it within two seconds, or never: then it must not hide somebody else's work.
  drawn.set(key, [...(drawn.get(key) ?? []), performance.now() + 2500]);
  send(model, way, 1);
}

function alreadyDrawn(model, way, most) {
  const key = `${model} ${way}`;
  const waiting = (drawn.get(key) ?? []).filter((until) => until > performance.now());
  const some = Math.min(waiting.length, most);
  drawn.set(key, waiting.slice(some));
  return some;
}

function send(model, way, number) {
  if (document.hidden || !mayMove()) return;
  const stations = stationsOf(model);
  if (!stations.length) return;
  const some = Math.min(number, MOST_AT_ONCE);
  for (let index = 0; index < some; index += 1) {
    setTimeout(() => move(stations[index % stations.length], way), (index * 900) / some);
  }
}

function move(station, way) {
  if (moving >= MOST || !station.isConnected) return;
  const [home, begin, end] = [map, routerStation(), station].map((element) => element.getBoundingClientRect());
  const middle = (box) => ({ x: box.left + box.width / 2 - home.left, y: box.top + box.height / 2 - home.top });
  const [from, to] = [middle(begin), middle(end)];
  const at = ({ x, y }) => `translate(${x}px, ${y}px)`;
  const corner = { x: from.x, y: to.y };
  const length = to.y - from.y + (to.x - from.x);
  const path = [{ transform: at(from), offset: 0 }, { transform: at(corner), offset: (to.y - from.y) / length }, { transform: at(to), offset: 1 }];
  const dot = document.createElement('i');
  dot.className = `dot ${way}`;
  map.append(dot);
  moving += 1;
  const animation = dot.animate(path, { duration: 380 + length * 1.6, easing: 'ease-in-out', direction: way === 'back' ? 'reverse' : 'normal' });
  animation.finished.catch(() => {}).then(() => {
    dot.remove();
    moving -= 1;
  });
}
