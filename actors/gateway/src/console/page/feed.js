// How does the page hear of the brain? By one stream, taken up again whenever it breaks.

import { takeIn } from './brain.js';
import { askForKey, headers, onKey, refusal } from './key.js';
import { lines } from './lines.js';

/** The node says something every ten seconds at least; silence for longer is a dead line. */
const SILENCE_MS = 25_000;
const LONGEST_WAIT_MS = 10_000;

/** The stream that is read. */
let stop = new AbortController();

/** Listens for as long as the page is open. `told` is called with `live`, `lost` or `key` when that changes. */
export async function listen(told) {
  let wait = 500;
  let wake = () => {};
  const tryNow = () => wake();
  onKey(() => {
    stop.abort();
    wake();
  });
  addEventListener('online', tryNow);
  for (;;) {
    try {
      await once(() => {
        wait = 500;
        told('live');
      });
      told('lost');
    } catch (error) {
      told(error.needsKey ? 'key' : 'lost');
      if (error.needsKey) {
        askForKey(error.message);
        await new Promise((resolve) => { wake = resolve; });
        continue;
      }
    }
    await new Promise((resolve) => {
      wake = resolve;
      setTimeout(resolve, wait);
    });
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }
}

/** One stream, to its end. */
async function once(begun) {
  stop = new AbortController();
  let silence = setTimeout(() => stop.abort(), SILENCE_MS);
  try {
    const response = await fetch('console/events', { headers: headers(), signal: stop.signal, cache: 'no-store' });
    if (!response.ok) throw await refusal(response);
    begun();
    for await (const line of lines(response)) {
      clearTimeout(silence);
      silence = setTimeout(() => stop.abort(), SILENCE_MS);
      if (line) show(JSON.parse(line));
    }
  } finally {
    clearTimeout(silence);
    stop.abort();
  }
}

/** What is wrong with the page is no reason to give up the stream. */
function show(line) {
  try {
    takeIn(line);
  } catch (error) {
    reportError(error);
  }
}
