// How does a person ask? A box, and below it the answers, newest first.

import { Answer } from './answer.js';
import { hasFiles, startAttach, takeFiles } from './attach.js';
import { brain, on } from './brain.js';
import { ask } from './door.js';
import { askForKey } from './key.js';
import { arrange, eachFrame, make, say } from './make.js';

/** Answers that stay on the page; their files stay in memory with them. */
const KEPT = 12;

const form = document.getElementById('ask');
const field = document.getElementById('question');
const to = document.getElementById('to');
const send = document.getElementById('send');
const place = document.getElementById('answers');
const progress = document.getElementById('progress');
const answers = [];

/** Once, when the page begins. */
export function startAsk() {
  startAttach(showWhetherAskable);
  on('change', eachFrame(showSpeakers));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    if (canAsk()) begin();
  });
  field.addEventListener('input', showWhetherAskable);
  field.addEventListener('keydown', (event) => {
    // Enter also ends what an input method composes.
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });
  document.addEventListener('keydown', (event) => {
    if (event.key === '/' && !event.target.closest('input, textarea, select, dialog')) {
      event.preventDefault();
      field.focus();
    }
    if (event.key === 'Escape' && !document.querySelector('dialog[open]')) answers.find((answer) => answer.isOpen)?.stop();
  });
  showWhetherAskable();
}

function canAsk() {
  return Boolean(field.value.trim() || hasFiles());
}

function showWhetherAskable() {
  send.disabled = !canAsk();
  // As high as its text.
  field.style.height = 'auto';
  field.style.height = `${field.scrollHeight}px`;
}

/** Who can be asked: the brain, and whoever converses. */
function showSpeakers() {
  const speaks = ({ capabilities }) => capabilities.includes('chat') || capabilities.includes('echo');
  const models = [...new Set([...brain.models.values()].filter(speaks).map(({ model }) => model))].sort();
  const known = new Map([...to.options].map((option) => [option.value, option]));
  // Whoever was chosen stays, back or not.
  const wanted = ['brain', ...models, to.value].filter((name, index, all) => all.indexOf(name) === index);
  arrange(to, wanted.map((name) => known.get(name) ?? make('option', { value: name }, name)));
}

async function begin() {
  const [text, files, model] = [field.value.trim(), takeFiles(), to.value];
  field.value = '';
  // The button is of no use now. A phone would show its keyboard over the answer.
  if (document.activeElement === send && matchMedia('(hover: hover)').matches) field.focus();
  showWhetherAskable();
  const answer = new Answer({ text, files, model, told: (words) => say(progress, words) });
  answers.unshift(answer);
  for (const old of answers.splice(KEPT)) old.remove();
  place.prepend(answer.element);
  try {
    for await (const part of ask({ model, text, files, signal: answer.signal })) answer.take(part);
  } catch (error) {
    answer.fail(error);
    if (error.needsKey) askForKey(error.message);
  }
}
