// Who may look, and what does a page do whose brain asks for a key, goes away, or comes back?

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';

import { Brain } from './brain.mjs';
import { openBrowser, Page } from './browser.mjs';

const ECHO = '[brain]\nname = "keys"\ndrain = "8s"\n[bus]\n[models.echo]\nactor = "echo"\n[gateway]\n';

test('with keys, the page asks for one, keeps it in its tab, and sends it along', async () => {
  const key = `mb-${randomBytes(16).toString('hex')}`;
  const hash = createHash('sha256').update(key).digest('hex');
  const brain = await Brain.start(`${ECHO}[[gateway.keys]]\nname = "me"\nhash = "${hash}"\nconcurrent = 1\n`);
  const browser = await openBrowser();
  try {
    assert.equal((await fetch(`${brain.url}/console/events`)).status, 401);
    const page = await Page.open(browser, brain.url);
    const { tab } = page;
    await tab.getByText('This brain asks for a key').waitFor();
    await tab.getByText('no key was given').waitFor();
    await page.picture('key');
    await tab.keyboard.type('mb-wrong');
    await tab.keyboard.press('Enter');
    await tab.getByText('this key is not known here').waitFor();
    await tab.keyboard.type(key);
    await tab.keyboard.press('Enter');
    await tab.getByText('1 of 1 ready').waitFor();
    // Looking takes none of the key's places: there is one, and it is for work.
    const answer = await page.ask('Hello?', { to: 'echo' });
    assert.equal(await answer.locator('.said').textContent(), 'Hello?');
    assert.equal(await tab.evaluate(() => localStorage.length + document.cookie.length), 0);
    await tab.reload();
    await tab.getByText('1 of 1 ready').waitFor();
    // The browser tells of the two refusals itself.
    assert.equal(page.faults.filter((fault) => fault.includes('401')).length, page.faults.length);
    page.faults = [];
    await page.close();
  } finally {
    await browser.close();
    await brain.stop();
  }
});

test('a brain that stops does not wait for the pages that look at it, and they say that it is gone', async () => {
  const brain = await Brain.start(ECHO);
  const browser = await openBrowser();
  try {
    const page = await Page.open(browser, brain.url);
    await page.tab.getByText('1 of 1 ready').waitFor();
    const took = await brain.stop();
    assert(took < 5000, `it took ${took} ms, of a drain of 8 s`);
    await page.tab.getByText('connection lost, trying again').waitFor();
  } finally {
    await browser.close();
    await brain.stop();
  }
});

test('only what the page is made of is served, with rules that let nothing else run', async () => {
  const brain = await Brain.start(ECHO);
  try {
    const page = await fetch(brain.url);
    const policy = page.headers.get('content-security-policy');
    for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) assert(policy.includes(rule), policy);
    assert(!policy.includes('unsafe'), policy);
    for (const path of ['console/nothing.js', 'console/..%2fmod.rs', 'console/index.html']) {
      assert.equal((await fetch(`${brain.url}/${path}`)).status, 404, path);
    }
    const tag = page.headers.get('etag');
    assert.equal((await fetch(brain.url, { headers: { 'if-none-match': tag } })).status, 304);
    // A page of a stranger cannot read the feed.
    const stranger = await fetch(`${brain.url}/console/events`, { headers: { origin: 'https://stranger.example' } });
    assert.equal(stranger.status, 403);
    // The feed begins with everything, and goes on.
    const leave = new AbortController();
    const feed = await fetch(`${brain.url}/console/events`, { signal: leave.signal });
    let said = '';
    for await (const piece of feed.body.pipeThrough(new TextDecoderStream())) {
      said += piece;
      if (said.split('\n').length > 3) break;
    }
    leave.abort();
    const [first, ...more] = said.split('\n').slice(0, -1).map((line) => JSON.parse(line));
    assert.equal(first.state.on_bus, true);
    assert(more.every((line) => line.model || line.node || line.happened), said);
  } finally {
    await brain.stop();
  }
});
