// Does the console show a real brain at work, in a real browser?

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Brain, starter } from './brain.mjs';
import { openBrowser, Page } from './browser.mjs';

const HOSTILE = '<img src=x onerror="document.title=\'taken\'"><script>document.title="taken"</script>';

let brain;
let browser;

before(async () => {
  [brain, browser] = await Promise.all([Brain.start(starter()), openBrowser()]);
});

after(async () => {
  await browser?.close();
  await brain?.stop();
});

test('models, devices and the node are there, and nothing is complained of', async () => {
  const page = await Page.open(browser, brain.url);
  const { tab } = page;
  await tab.getByText('live', { exact: true }).waitFor();
  await tab.getByText('8 of 8 ready').waitFor();
  const names = await tab.locator('#models .name').allTextContents();
  assert.deepEqual(names, ['router', 'video', 'whisper', 'vision', 'deep', 'fast', 'voice', 'embed', 'echo']);
  const memory = tab.getByRole('img', { name: /main memory: models .* others .* free .* of .* GiB/ });
  await memory.waitFor();
  assert((await memory.locator('.piece').count()) >= 8, 'a piece for each model and the node');
  assert.match(await tab.locator('#where').textContent(), /home · \d+ cores · up /);
  assert.deepEqual(await page.barriers(), []);
  await page.picture('idle-light');
  await page.close();
});

test('a dropped picture and a dropped sound are asked about, and what was heard and seen is on a clock', async () => {
  const page = await Page.open(browser, brain.url);
  const { tab } = page;
  await tab.getByText('8 of 8 ready').waitFor();
  await page.drop(['sign.png', 'question.wav']);
  assert.equal(await tab.locator('#attached li').count(), 2);
  // Text that grows is seen growing.
  await tab.evaluate(() => {
    globalThis.lengths = new Set();
    new MutationObserver(() => lengths.add(document.querySelector('.said')?.textContent.length ?? 0)).observe(document.getElementById('answers'), { childList: true, subtree: true });
  });
  await tab.press('#question', 'Enter');
  const answer = await page.answered();
  assert((await answer.locator('.said').textContent()).length > 20);
  assert((await tab.evaluate(() => lengths.size)) > 3, 'the answer did not stream');
  const heard = answer.locator('.timeline .lane.audio .span');
  assert.match((await heard.allTextContents()).join(' '), /capital of France/);
  assert.match(await answer.locator('.part.picture ul.list').textContent(), /BERTH ?42/);
  const legs = await answer.locator('.leg .who').allTextContents();
  assert.deepEqual(legs.toSorted(), ['deepanswers', 'visionlooks', 'whisperhears']);
  assert.match(await answer.locator('.foot').textContent(), /^deep · .* s · \d+ tokens/);
  assert.equal(await tab.locator('#link').textContent(), 'live');
  // A place on the clock plays from there.
  await heard.nth(1).click();
  await tab.waitForFunction(() => document.querySelector('audio').currentTime >= 2.5);
  await tab.locator('.span.now').waitFor();
  assert.deepEqual(await page.barriers(), []);
  await page.close();
});

test('a film is heard and seen on one clock, by day, by night and on a phone', async () => {
  const page = await Page.open(browser, brain.url);
  const { tab } = page;
  await tab.getByText('8 of 8 ready').waitFor();
  await page.drop(['film.mp4']);
  await tab.fill('#question', 'What is shown while she says that her brother wants to sleep?');
  await tab.press('#question', 'Enter');
  // Work is seen on its way, and the models at it.
  await tab.locator('.dot').first().waitFor();
  await tab.locator('.model[data-state="working"]').filter({ hasText: 'vision' }).waitFor();
  await page.picture('working');
  const answer = await page.answered();
  for (const lane of ['audio', 'image']) assert((await answer.locator(`.lane.${lane} .span`).count()) >= 4, lane);
  const words = await answer.locator('.words').textContent();
  assert.match(words, /brother wants to sleep.*Egyptian Mau|Egyptian Mau.*brother wants to sleep/s);
  const looks = [
    ['light', 'light', { width: 1360, height: 900 }],
    ['dark', 'dark', { width: 1360, height: 900 }],
    ['tablet', 'light', { width: 820, height: 1100 }],
    ['phone', 'light', { width: 375, height: 740 }],
    ['phone-dark', 'dark', { width: 320, height: 640 }],
  ];
  const grounds = new Set();
  for (const [name, colorScheme, size] of looks) {
    await tab.emulateMedia({ colorScheme });
    await tab.setViewportSize(size);
    assert((await page.sideways()) <= 0, `${name}: it scrolls sideways`);
    assert.deepEqual(await page.barriers(), [], name);
    await page.picture(name);
    grounds.add(await tab.evaluate(() => getComputedStyle(document.documentElement).backgroundColor));
  }
  assert.equal(grounds.size, 2, 'day and night look alike');
  await page.close();
});

test('a phone asks by touch', async () => {
  const phone = { viewport: { width: 375, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true };
  const page = await Page.open(browser, brain.url, phone);
  const { tab } = page;
  await tab.getByText('8 of 8 ready').waitFor();
  assert((await page.sideways()) <= 0, 'it scrolls sideways');
  await tab.locator('#question').tap();
  await tab.locator('#question').fill('Name a colour.');
  await tab.locator('#send').tap();
  const answer = await page.answered();
  assert((await answer.locator('.said').textContent()).length > 0);
  assert((await page.sideways()) <= 0, 'it scrolls sideways after an answer');
  await page.picture('phone-touch');
  await page.close();
});

test('whatever anybody says stays text', async () => {
  const page = await Page.open(browser, brain.url);
  const { tab } = page;
  await tab.locator('#to option[value="echo"]').waitFor({ state: 'attached' });
  const answer = await page.ask(HOSTILE, { to: 'echo' });
  assert.equal(await answer.locator('.said').textContent(), HOSTILE);
  assert.equal(await answer.locator('h2').textContent(), HOSTILE);
  await page.drop(['sign.png'], { 'sign.png': `${HOSTILE.replaceAll('/', '')}.png` });
  const other = await page.ask('What does it say?', { to: 'brain' });
  assert.match(await other.locator('h3').textContent(), /<img src=x/);
  assert.equal(await tab.title(), 'megabrain');
  assert.equal(await tab.locator('.answer script, .answer img[src="x"], #attached img[src="x"]').count(), 0);
  await page.close();
});

test('a model whose process is killed is seen to go down and to come back', async () => {
  const page = await Page.open(browser, brain.url);
  const { tab } = page;
  const fast = tab.locator('.model[data-model="fast"]');
  await fast.locator('summary').click();
  const processOf = async () => Number(await fast.locator('dt:text-is("process") + dd').textContent());
  const pid = await processOf();
  assert(pid > 1);
  process.kill(pid, 'SIGKILL');
  const happened = tab.locator('#happenings');
  await happened.locator('li.bad').filter({ hasText: /fast went down.*signal: 9/ }).waitFor({ timeout: 5000 });
  await page.picture('down');
  await happened.locator('li').filter({ hasText: 'fast is started again' }).waitFor({ timeout: 10_000 });
  await happened.locator('li').filter({ hasText: 'fast serves' }).waitFor({ timeout: 20_000 });
  await tab.getByText('8 of 8 ready').waitFor();
  await tab.waitForFunction((pid) => {
    const row = document.querySelector('.model[data-model="fast"]');
    const now = [...row.querySelectorAll('dt')].find((term) => term.textContent === 'process').nextElementSibling.textContent;
    return Number(now) > 1 && Number(now) !== pid;
  }, pid);
  // Whoever opens the page later is told, too.
  const later = await Page.open(browser, brain.url);
  await later.tab.locator('#happenings li').filter({ hasText: 'fast went down' }).waitFor();
  await later.close();
  await page.close();
});

test('everything can be done by keyboard alone, and nothing moves for whoever wants that', async () => {
  const page = await Page.open(browser, brain.url, { reducedMotion: 'reduce' });
  const { tab } = page;
  await tab.getByText('8 of 8 ready').waitFor();
  const focused = () => tab.evaluate(() => document.activeElement.id || document.activeElement.textContent);
  await tab.keyboard.press('Tab');
  assert.equal(await focused(), 'Skip to the question');
  await tab.keyboard.press('Enter');
  assert.equal(await focused(), 'question');
  await tab.keyboard.type('Count to five.');
  await tab.keyboard.press('Shift+Enter');
  await tab.keyboard.type('In words.');
  assert.equal(await tab.inputValue('#question'), 'Count to five.\nIn words.');
  await tab.keyboard.press('Tab');
  assert.equal(await focused(), 'attach');
  await tab.keyboard.press('Tab');
  assert.equal(await focused(), 'to');
  await tab.keyboard.type('fa');
  await tab.keyboard.press('Tab');
  assert.equal(await focused(), 'send');
  await tab.keyboard.press('Enter');
  await tab.locator('.answer').waitFor();
  assert.equal(await tab.evaluate(() => document.getAnimations().length), 0, 'something moves');
  const answer = await page.answered();
  assert.match(await answer.locator('.foot').textContent(), /^fast · /);
  await tab.locator('.model summary').first().focus();
  await tab.keyboard.press('Enter');
  assert.equal(await tab.locator('.model[open]').count(), 1);
  await tab.keyboard.press('/');
  assert.equal(await focused(), 'question');
  // Escape takes back what is asked.
  await tab.selectOption('#to', 'deep');
  await tab.fill('#question', 'Write a very long story about a lighthouse, at least a thousand words.');
  await tab.keyboard.press('Enter');
  await tab.waitForFunction(() => document.querySelector('.said').textContent.length > 20);
  await tab.keyboard.press('Escape');
  assert.equal(await (await page.answered()).locator('.foot').textContent(), 'stopped');
  await page.close();
});
