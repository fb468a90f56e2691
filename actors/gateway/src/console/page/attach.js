// What goes along with a question? Files that were picked, dropped or pasted.

import { make } from './make.js';
import { kindOf, size } from './words.js';

const list = document.getElementById('attached');
const picker = document.getElementById('files');
const cover = document.getElementById('drop');
let files = [];
/** What is done when a file is taken off again. */
let whenRemoved = () => {};

/** Takes the files, and leaves none for the next question. */
export function takeFiles() {
  const taken = files;
  files = [];
  show();
  return taken;
}

/** Whether there are any. */
export function hasFiles() {
  return files.length > 0;
}

/** Once, when the page begins. `changed` is called when files came or went. */
export function startAttach(changed) {
  const add = (more) => {
    files = [...files, ...more];
    show();
    changed();
  };
  whenRemoved = (removed) => {
    files = files.filter((file) => file !== removed);
    show();
    changed();
  };
  document.getElementById('attach').addEventListener('click', () => picker.click());
  picker.addEventListener('change', () => {
    add(picker.files);
    picker.value = '';
  });
  document.addEventListener('paste', (event) => {
    if (event.clipboardData.files.length) add(event.clipboardData.files);
  });
  const hasFilesIn = (event) => event.dataTransfer?.types.includes('Files');
  document.addEventListener('dragover', (event) => {
    if (!hasFilesIn(event)) return;
    event.preventDefault();
    cover.hidden = false;
  });
  document.addEventListener('dragleave', (event) => {
    // Only where the pointer leaves the window: it leaves elements all the time.
    if (!event.relatedTarget) cover.hidden = true;
  });
  document.addEventListener('drop', (event) => {
    cover.hidden = true;
    if (!hasFilesIn(event)) return;
    event.preventDefault();
    add(event.dataTransfer.files);
  });
}

function show() {
  for (const picture of list.querySelectorAll('img')) URL.revokeObjectURL(picture.src);
  list.replaceChildren(...files.map((file) => {
    const remove = make('button', { type: 'button', className: 'remove', 'aria-label': `Remove ${file.name}` }, '×');
    remove.addEventListener('click', () => whenRemoved(file));
    return make('li', {}, thumbnail(file), make('span', { className: 'name' }, file.name), make('span', { className: 'about' }, size(file.size)), remove);
  }));
}

function thumbnail(file) {
  if (kindOf(file) !== 'picture') return make('span', { className: 'kind' }, kindOf(file));
  return make('img', { src: URL.createObjectURL(file), alt: '' });
}
