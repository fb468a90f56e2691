// What does one answer look like? The question, what is said, what was found in what came along, and who did what when.

import { Findings } from './findings.js';
import { Legs, nameOf } from './legs.js';
import { make, say } from './make.js';
import { drawLeg } from './traffic.js';
import { capabilityOf, count, speed, time, timeOfDay, verb } from './words.js';

export class Answer {
  constructor({ text, files, model, told }) {
    Object.assign(this, { files, model, told, began: performance.now(), isOpen: true, said: '' });
    this.aborter = new AbortController();
    this.signal = this.aborter.signal;
    this.findings = new Findings(files);
    this.legs = new Legs();
    this.body = make('div', { className: 'said', 'aria-live': 'polite', 'aria-busy': 'true' });
    this.thoughts = make('p', {});
    this.thinking = make('details', { className: 'thoughts', hidden: true }, make('summary', {}, 'Thoughts'), this.thoughts);
    this.activity = make('p', { className: 'activity' }, files.length ? 'sending' : 'asking');
    this.foot = make('p', { className: 'foot' });
    this.button = make('button', { type: 'button', className: 'quiet' }, 'Stop');
    this.button.addEventListener('click', () => this.stop());
    // Without words, what came along is the question.
    const question = text || files.map(({ name }) => name).join(', ');
    this.element = make(
      'article',
      { className: 'card answer' },
      make('header', {}, make('h2', {}, question), make('span', { className: 'about' }, `${model} · ${timeOfDay(Date.now())}`), this.button),
      this.thinking,
      this.body,
      this.activity,
      this.foot,
      this.findings.element,
      this.legs.element,
    );
  }

  /** Takes a part of the answer. */
  take(part) {
    if (part.text !== undefined) this.text(part.text);
    else if (part.leg) this.leg(part.leg);
    else if (part.evidence) this.findings.add(part.evidence);
    else if (part.thought) this.thought(part.thought);
    else if (part.end) this.end(part.end);
  }

  text(text) {
    this.firstText ??= performance.now();
    this.said += text;
    // Text from anybody: it becomes a text node, and stays one.
    this.body.append(text);
    say(this.activity, '');
  }

  thought(text) {
    this.thinking.hidden = false;
    this.thoughts.append(text);
    if (!this.said) say(this.activity, 'thinking');
  }

  leg(leg) {
    this.legs.take(leg);
    const model = nameOf(leg);
    if (model) drawLeg(model, leg.status ? 'back' : 'out');
    const words = `${model ?? 'somebody'} ${verb(capabilityOf(leg.subject))}${this.objectOf(leg)}`;
    if (!leg.status && !this.said) {
      say(this.activity, words);
      this.told(words);
    }
  }

  /** Which file a leg is about: its path begins with the number of the attachment. */
  objectOf({ leg, subject }) {
    const file = capabilityOf(subject) === 'chat' ? undefined : this.files[Number.parseInt(leg, 10)];
    if (!file) return '';
    const [, part] = leg.split('.');
    return part === undefined ? ` ${file.name}` : ` at part ${Number(part) + 1} of ${file.name}`;
  }

  end(end) {
    const took = end.took_ms ?? performance.now() - this.began;
    if (!this.said) this.body.append(make('span', { className: 'about' }, 'Nobody had anything to say. What was found is below.'));
    if (end.evidence) this.findings.settle(end.evidence, end.left_out ?? []);
    this.legs.settle(end.legs);
    const tokens = end.usage?.completion_tokens;
    const wrote = performance.now() - (this.firstText ?? this.began);
    const facts = [
      end.model ?? this.model,
      time(took),
      tokens ? count(tokens, 'token') : undefined,
      tokens > 1 && wrote > 50 ? `${speed(tokens / (wrote / 1000))} tok/s` : undefined,
      end.finish === 'length' ? 'cut at its longest length' : undefined,
      end.left_out?.length ? `${count(end.left_out.length, 'finding')} had no room in the model's context` : undefined,
    ];
    this.foot.append(facts.filter(Boolean).join(' · '));
    this.told(`${end.model ?? this.model} answered in ${time(took)}`);
    this.close();
  }

  fail(error) {
    this.legs.settle();
    const words = this.signal.aborted ? 'stopped' : error.message;
    this.foot.append(make('span', { className: this.signal.aborted ? '' : 'bad', role: this.signal.aborted ? undefined : 'alert' }, words));
    this.told(words);
    this.close();
  }

  close() {
    this.isOpen = false;
    say(this.activity, '');
    this.body.setAttribute('aria-busy', 'false');
    const copy = navigator.clipboard && this.said;
    if (!copy) {
      this.button.remove();
      return;
    }
    say(this.button, 'Copy');
    this.button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(this.said);
      say(this.button, 'Copied');
      setTimeout(() => say(this.button, 'Copy'), 1500);
    });
  }

  /** Whoever does not wait any longer takes the work along: the gateway cancels it. */
  stop() {
    if (this.isOpen) this.aborter.abort();
  }

  remove() {
    this.stop();
    this.findings.remove();
    this.element.remove();
  }
}
