// What was found in what came along? A part for each file: the file itself, and its findings, on its clock if it has one.

import { eachFrame, make } from './make.js';
import { Timeline } from './timeline.js';
import { clock, kindOf } from './words.js';

export class Findings {
  constructor(files) {
    this.parts = files.map((file) => new Part(file));
    this.element = make('div', { className: 'findings' }, ...this.parts.map((part) => part.element));
  }

  /** One more finding, as it comes. */
  add(finding) {
    this.parts[finding.attachment]?.add(finding);
  }

  /** All of them, in their order; those in `leftOut` were not put to the model. */
  settle(findings, leftOut) {
    const all = findings.map((finding, index) => ({ ...finding, isLeftOut: leftOut.includes(index) }));
    this.parts.forEach((part, index) => part.set(all.filter(({ attachment }) => attachment === index)));
  }

  remove() {
    for (const part of this.parts) URL.revokeObjectURL(part.url);
  }
}

class Part {
  constructor(file) {
    this.found = [];
    this.url = URL.createObjectURL(file);
    this.media = media(file, this.url);
    this.timeline = new Timeline(this.media);
    this.list = make('ul', { className: 'list' });
    this.words = make('ol', { className: 'list' });
    this.scroll = make('div', { className: 'words', hidden: true, tabIndex: 0, role: 'group', 'aria-label': 'In words' }, this.words);
    const title = make('h3', {}, make('span', {}, file.name), make('span', { className: 'about' }, kindOf(file)));
    this.element = make('section', { className: `part ${kindOf(file)}`, 'aria-label': `What was found in ${file.name}` }, title, this.timeline.element, make('div', { className: 'beside' }, this.media, this.list, this.scroll));
    this.show = eachFrame(() => this.showNow());
  }

  add(finding) {
    this.found.push(finding);
    this.show();
  }

  set(found) {
    this.found = found;
    this.show();
  }

  showNow() {
    const timed = this.found.filter(({ t0_ms }) => t0_ms !== undefined);
    const others = this.found.filter(({ t0_ms }) => t0_ms === undefined);
    this.timeline.show(timed);
    this.list.replaceChildren(...others.map(item));
    this.list.hidden = !others.length;
    this.scroll.hidden = !timed.length;
    this.words.replaceChildren(...[...timed].sort((one, other) => one.t0_ms - other.t0_ms).map(item));
  }
}

function media(file, url) {
  switch (kindOf(file)) {
    case 'picture': return make('img', { src: url, alt: file.name });
    case 'sound': return make('audio', { src: url, controls: true, preload: 'metadata', 'aria-label': file.name });
    case 'film': return make('video', { src: url, controls: true, preload: 'metadata', playsInline: true, 'aria-label': file.name });
    default: return undefined;
  }
}

function item(finding) {
  const { t0_ms: from, t1_ms: to, model, text, confidence, status, isLeftOut } = finding;
  const sure = make('meter', { min: 0, max: 1, value: confidence ?? 1, title: confidence === undefined ? '' : `sure to ${confidence.toFixed(2)}`, 'aria-label': 'how sure' });
  const notes = [status && status !== 'ok' ? `broke off: ${status}` : '', isLeftOut ? 'no room in the context' : ''].filter(Boolean);
  return make(
    'li',
    { className: isLeftOut ? 'left-out' : '' },
    from === undefined ? undefined : make('span', { className: 'when', title: `${clock(from)}–${clock(to ?? from)}` }, clock(from)),
    make('span', { className: 'what' }, text.trim(), ...notes.map((note) => make('span', { className: 'about' }, ` (${note})`))),
    make('span', { className: 'about by' }, model),
    sure,
  );
}
