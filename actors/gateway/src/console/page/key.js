// Which key does this page have? One that a person gave, kept for as long as the tab is open.

const PLACE = 'megabrain-key';
const dialog = document.getElementById('key-dialog');
const field = document.getElementById('key');
const button = document.getElementById('key-button');
const given = new Set();

/** The headers of every request. */
export function headers(more = {}) {
  const key = sessionStorage.getItem(PLACE);
  return key ? { ...more, authorization: `Bearer ${key}` } : more;
}

/** Why a door did not let us in, as an error for a person; `needsKey` where a key would help. */
export async function refusal(response) {
  const told = await response.json().catch(() => ({}));
  return Object.assign(new Error(told.error?.message ?? `status ${response.status}`), { needsKey: response.status === 401 });
}

/** Asks for a key, and says why. */
export function askForKey(why) {
  document.getElementById('key-why').textContent = why;
  button.hidden = false;
  if (!dialog.open) dialog.showModal();
  field.focus();
}

/** Calls `listener` whenever another key was given. */
export function onKey(listener) {
  given.add(listener);
}

function keep(key) {
  if (key) sessionStorage.setItem(PLACE, key);
  else sessionStorage.removeItem(PLACE);
  field.value = '';
  for (const listener of given) listener();
}

/** Once, when the page begins. */
export function startKey() {
  button.hidden = !sessionStorage.getItem(PLACE);
  button.addEventListener('click', () => askForKey('Another key takes the place of the one in use.'));
  document.getElementById('key-form').addEventListener('submit', () => {
    if (field.value.trim()) keep(field.value.trim());
  });
  document.getElementById('key-forget').addEventListener('click', () => {
    dialog.close();
    keep(undefined);
  });
}
