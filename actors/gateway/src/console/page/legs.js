// Who did what when, to answer one question? A row for each that did something, on the clock of the question.

import { make, mark, say } from './make.js';
import { marks, pack } from './rows.js';
import { capabilityOf, count, time, verb } from './words.js';

const MOST_MARKS = 6;

export class Legs {
  constructor() {
    this.legs = new Map();
    this.rows = new Map();
    this.body = make('div', { className: 'rows' });
    this.axis = make('div', { className: 'axis', 'aria-hidden': 'true' });
    this.element = make('section', { className: 'legs', hidden: true, 'aria-label': 'Who did what when' }, this.axis, this.body);
  }

  /** A leg begins, or ends. */
  take(report) {
    const now = performance.now();
    if (!this.timer) {
      this.zero = now;
      this.element.hidden = false;
      this.timer = setInterval(() => this.show(), 100);
    }
    const known = this.legs.get(report.leg);
    const from = known?.from ?? Math.max(0, now - this.zero - report.took_ms);
    this.legs.set(report.leg, { ...report, from });
    this.show();
  }

  /** Nothing more comes. `reports` are the last word on every leg. */
  settle(reports = []) {
    clearInterval(this.timer);
    for (const report of reports) {
      // One that was never sent has no time.
      const from = this.legs.get(report.leg)?.from ?? 0;
      this.legs.set(report.leg, { ...report, from });
    }
    const end = performance.now() - (this.zero ?? 0);
    for (const leg of this.legs.values()) if (!leg.status) Object.assign(leg, { status: 'cancelled', took_ms: end - leg.from });
    this.element.hidden = !this.legs.size;
    this.show();
  }

  show() {
    const now = performance.now() - this.zero;
    const legs = [...this.legs.values()].map((leg) => ({ ...leg, to: leg.status ? leg.from + leg.took_ms : now }));
    const length = Math.max(1, ...legs.map(({ to }) => to));
    const groups = new Map();
    for (const leg of legs) {
      const key = `${capabilityOf(leg.subject)} ${nameOf(leg) ?? ''}`;
      groups.set(key, [...(groups.get(key) ?? []), leg]);
    }
    for (const [key, group] of groups) {
      if (!this.rows.has(key)) this.rows.set(key, this.newRow());
      fillRow(this.rows.get(key), group, length);
    }
    const wanted = marks(length, MOST_MARKS);
    while (this.axis.childElementCount > wanted.length) this.axis.lastElementChild.remove();
    while (this.axis.childElementCount < wanted.length) this.axis.append(make('span'));
    wanted.forEach((at, index) => {
      say(this.axis.children[index], at ? time(at).replace(/\.0+ /, ' ') : '0');
      this.axis.children[index].style.left = `${(at / length) * 100}%`;
    });
  }

  newRow() {
    const row = { who: make('b'), does: make('span', { className: 'about' }), track: make('div', { className: 'track' }), took: make('span', { className: 'took' }), notes: make('ul', { className: 'notes' }) };
    this.body.append(make('div', { className: 'leg' }, make('div', { className: 'who' }, row.who, row.does), row.track, row.took, row.notes));
    return row;
  }
}

/** Who works on a leg, if it is known. */
export function nameOf({ model, subject }) {
  return model ?? subject.split('.')[3];
}

function fillRow(row, legs, length) {
  const capability = capabilityOf(legs[0].subject);
  say(row.who, nameOf(legs[0]) ?? 'nobody');
  say(row.does, `${verb(capability)}${legs.length > 1 ? ` × ${legs.length}` : ''}`);
  const isOpen = legs.some(({ status }) => !status);
  say(row.took, `${isOpen ? '' : legs.length > 1 ? 'longest ' : ''}${time(Math.max(...legs.map(({ from, to }) => to - from)))}`);
  const { placed, rows } = pack(legs, ({ from }) => from, ({ to }) => to);
  row.track.style.setProperty('--rows', rows);
  row.track.classList.toggle('many', rows > 1);
  while (row.track.childElementCount < legs.length) row.track.append(make('span', { className: 'span' }, make('span', { className: 'queued' })));
  placed.forEach(({ item: leg, row: number }, index) => {
    const bar = row.track.children[index];
    bar.style.setProperty('--row', number);
    mark(bar, 'data-status', leg.status ?? 'open');
    bar.style.left = `${(leg.from / length) * 100}%`;
    bar.style.width = `${((leg.to - leg.from) / length) * 100}%`;
    bar.firstElementChild.style.width = `${Math.min(1, (leg.queued_ms ?? 0) / Math.max(1, leg.to - leg.from)) * 100}%`;
    bar.title = titleOf(leg);
  });
  const notes = legs.flatMap(({ leg, status, note, error }) => {
    const words = [note, error?.message ?? (status && status !== 'ok' ? status : undefined)].filter(Boolean);
    return words.map((word) => ({ text: `${legs.length > 1 ? `leg ${leg}: ` : ''}${word}`, isBad: word !== note }));
  });
  const shown = notes.slice(0, 5);
  const rest = notes.length - shown.length;
  row.notes.replaceChildren(...shown.map(({ text, isBad }) => make('li', { className: isBad ? 'bad' : '' }, text)));
  if (rest) row.notes.append(make('li', {}, `and ${count(rest, 'more', 'more')}`));
}

function titleOf({ leg, status, to, from, queued_ms: queued }) {
  const waited = queued >= 1 ? `, ${time(queued)} of it in the queue` : '';
  return `leg ${leg}: ${status ?? 'at work'}, ${time(to - from)}${waited}`;
}
