// How does a test look at the page? With a real Chromium, which tells of every error and of everything it refused to do.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, extname, join } from 'node:path';
import { chromium } from 'playwright-core';

import { ROOT } from './brain.mjs';

const PROGRAM = process.env.CHROMIUM || '/usr/bin/chromium';
const SCREENSHOTS = process.env.MEGABRAIN_SCREENSHOTS;
const TYPES = { '.png': 'image/png', '.jpg': 'image/jpeg', '.wav': 'audio/wav', '.mp4': 'video/mp4' };
const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export async function openBrowser() {
  assert(existsSync(PROGRAM), `no ${PROGRAM}: install Debian's chromium, or name one in CHROMIUM`);
  // Chromium does not make a sandbox for root.
  return await chromium.launch({ executablePath: PROGRAM, args: process.getuid() === 0 ? ['--no-sandbox'] : [] });
}

export class Page {
  /** Opens the page at `url`. `faults` has what it complained of. */
  static async open(browser, url, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, colorScheme: 'light', ...options });
    const tab = await context.newPage();
    const page = new Page(context, tab);
    tab.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) page.faults.push(message.text());
    });
    tab.on('pageerror', (error) => page.faults.push(String(error)));
    tab.on('request', (request) => {
      if (!request.url().startsWith(url) && !/^(blob|data):/.test(request.url())) page.faults.push(`it asked ${request.url()}`);
    });
    await tab.addInitScript(() => {
      globalThis.refused = [];
      addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) => refused.push(`${violatedDirective} ${blockedURI}`));
    });
    await tab.goto(url);
    return page;
  }

  constructor(context, tab) {
    Object.assign(this, { context, tab, faults: [] });
  }

  /** Drops files of `tests/media` onto the page, under these names where others are given. */
  async drop(names, others = {}) {
    const files = names.map((name) => ({
      name: others[name] ?? basename(name),
      type: TYPES[extname(name)] ?? '',
      data: readFileSync(join(ROOT, 'tests/media', name)).toString('base64'),
    }));
    const carried = await this.tab.evaluateHandle((files) => {
      const carried = new DataTransfer();
      for (const { name, type, data } of files) {
        carried.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name, { type }));
      }
      return carried;
    }, files);
    await this.tab.dispatchEvent('body', 'dragover', { dataTransfer: carried });
    await this.tab.dispatchEvent('body', 'drop', { dataTransfer: carried });
  }

  /** Asks, and gives the answer's place once it has ended. */
  async ask(text, { to } = {}) {
    if (to) await this.tab.selectOption('#to', to);
    await this.tab.fill('#question', text);
    await this.tab.press('#question', 'Enter');
    return await this.answered();
  }

  /** The newest answer, once it has ended. */
  async answered() {
    const answer = this.tab.locator('.answer').first();
    await answer.locator('.said[aria-busy="false"]').waitFor({ state: 'attached', timeout: 90_000 });
    return answer;
  }

  /** What an automatic look at accessibility finds wrong. */
  async barriers() {
    await this.tab.evaluate(AXE);
    const { violations } = await this.tab.evaluate(() => axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ''}`).join('\n  ')}`);
  }

  /** How far it can be scrolled sideways. */
  async sideways() {
    return await this.tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  }

  async picture(name) {
    if (!SCREENSHOTS) return;
    mkdirSync(SCREENSHOTS, { recursive: true });
    await this.tab.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
  }

  /** Closes it; it must have seen the brain to the end, and not have complained of anything. */
  async close() {
    const refused = await this.tab.evaluate(() => globalThis.refused);
    await this.context.close();
    assert.deepEqual([...this.faults, ...refused], []);
  }
}
