// What was heard while what was shown? Lanes over one clock, which plays.

import { make, mayMove, say } from './make.js';
import { marks, pack } from './rows.js';
import { clock } from './words.js';

/** What is heard stands above what is seen, and that above what is read. */
const RANK = { audio: 0, image: 1, text: 2 };
const MOST_MARKS = 6;

export class Timeline {
  /** `media` is the player of what it is about, where there is one. */
  constructor(media) {
    this.media = typeof media?.play === 'function' ? media : undefined;
    this.lanes = make('div', { className: 'lanes' });
    this.axis = make('div', { className: 'axis', 'aria-hidden': 'true' });
    this.head = make('span', { className: 'head', hidden: true });
    this.element = make('div', { className: 'timeline', hidden: true, role: 'group', 'aria-label': 'What was found when' }, this.axis, this.lanes, make('div', { className: 'over', 'aria-hidden': 'true' }, this.head));
    this.found = [];
    this.length = 1;
    this.follow();
  }

  /** Shows findings that have times. */
  show(found) {
    this.found = found;
    this.element.hidden = !found.length;
    const end = Math.max(1, ...found.map(({ t0_ms, t1_ms }) => t1_ms ?? t0_ms));
    const whole = Number.isFinite(this.media?.duration) ? this.media.duration * 1000 : 0;
    this.length = Math.max(end, whole);
    const lanes = new Map();
    for (const finding of found) {
      const key = `${RANK[finding.modality] ?? 3} ${finding.model}`;
      lanes.set(key, [...(lanes.get(key) ?? []), finding]);
    }
    this.axis.replaceChildren(...marks(this.length, MOST_MARKS).map((time) => this.at(make('span', {}, clock(time, this.length < 3000)), time)));
    this.lanes.replaceChildren(...[...lanes].sort(([one], [other]) => one.localeCompare(other)).map(([, items]) => this.lane(items)));
    this.showNow();
  }

  lane(items) {
    const { placed, rows } = pack(items, ({ t0_ms }) => t0_ms, ({ t0_ms, t1_ms }) => t1_ms ?? t0_ms);
    const track = make('div', { className: 'track' }, ...placed.map(({ item, row }) => this.bar(item, row)));
    track.style.setProperty('--rows', rows);
    const sense = { audio: 'heard', image: 'seen', text: 'read' }[items[0].modality] ?? '';
    return make('div', { className: `lane ${items[0].modality}` }, make('div', { className: 'who' }, make('b', {}, items[0].model), make('span', { className: 'about' }, sense)), track);
  }

  bar(finding, row) {
    const { t0_ms: from, t1_ms: to = from, text, confidence } = finding;
    const words = text.trim();
    const sure = confidence === undefined ? '' : ` (${confidence.toFixed(2)})`;
    const bar = make('button', { type: 'button', className: 'span', title: `${clock(from)}–${clock(to)} ${words}${sure}`, disabled: !this.media }, make('span', {}, words.replace(/^(looks like|text): /, '')));
    bar.style.setProperty('--row', row);
    bar.style.setProperty('--sure', confidence ?? 1);
    bar.style.width = `${((to - from) / this.length) * 100}%`;
    bar.dataset.from = from;
    bar.dataset.to = to;
    bar.addEventListener('click', () => this.seek(from));
    return this.at(bar, from);
  }

  at(element, time) {
    element.style.left = `${(time / this.length) * 100}%`;
    return element;
  }

  seek(time) {
    this.media.currentTime = time / 1000;
    this.media.play().catch(() => {});
  }

  /** The head goes with what plays. */
  follow() {
    if (!this.media) return;
    const frame = () => {
      this.showNow();
      if (!this.media.paused && !this.media.ended && mayMove()) requestAnimationFrame(frame);
    };
    for (const event of ['play', 'seeked', 'timeupdate', 'ended']) this.media.addEventListener(event, frame);
    this.media.addEventListener('loadedmetadata', () => this.found.length && this.show(this.found));
  }

  showNow() {
    const now = (this.media?.currentTime ?? 0) * 1000;
    this.head.hidden = now === 0;
    this.at(this.head, Math.min(now, this.length));
    for (const bar of this.lanes.querySelectorAll('.span')) {
      bar.classList.toggle('now', now > 0 && Number(bar.dataset.from) <= now && now < Number(bar.dataset.to));
    }
  }
}
