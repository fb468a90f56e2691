// How does a test get a brain? `megabrain up` with a bus, a folder and a port of its own, every model ready.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const ROOT = resolve(import.meta.dirname, '../..');
const PROGRAMS = process.env.MEGABRAIN_PROGRAMS || resolve(ROOT, process.env.CARGO_TARGET_DIR || 'target', 'release');
/** Loading takes seconds; on a machine that is busy with other things, more. */
const LOADING_MS = 90_000;

/** The starter brain. */
export function starter() {
  return readFileSync(join(ROOT, 'megabrain.toml'), 'utf8');
}

export class Brain {
  /** Starts a brain of this file; its `[bus]` and `[gateway]` get a folder and a port of their own. */
  static async start(file) {
    const program = join(PROGRAMS, 'megabrain');
    assert(existsSync(program), `no ${program}: run \`make build\`, or name a folder in MEGABRAIN_PROGRAMS`);
    const folder = mkdtempSync(join(tmpdir(), 'megabrain-console-'));
    const own = file
      .replace('[bus]\n', `[bus]\nstore = "${join(folder, 'bus')}"\nblob_max = "256 MiB"\n`)
      .replace('[gateway]\n', '[gateway]\nlisten = "127.0.0.1:0"\n');
    assert(own.includes('blob_max = "256') && own.includes('127.0.0.1:0"'), 'no [bus] or no [gateway]');
    writeFileSync(join(folder, 'brain.toml'), own);
    const log = join(folder, 'brain.log');
    const output = openSync(log, 'w');
    // Neither another bus nor a collector that this machine may name.
    const inherited = Object.entries(process.env).filter(([name]) => !/^(NATS|OTEL)_/.test(name));
    const child = spawn(program, ['up', join(folder, 'brain.toml')], {
      env: { ...Object.fromEntries(inherited), XDG_RUNTIME_DIR: folder },
      stdio: ['ignore', output, output],
    });
    closeSync(output);
    const brain = new Brain(child, folder, log);
    const until = Date.now() + LOADING_MS;
    while (!/ models in /.test(brain.said)) {
      if (child.exitCode !== null || Date.now() > until) {
        const { said } = brain;
        await brain.stop();
        assert.fail(`the brain did not come up:\n${said}`);
      }
      await sleep(50);
    }
    return brain;
  }

  constructor(child, folder, log) {
    Object.assign(this, { child, folder, log });
  }

  get said() {
    return readFileSync(this.log, 'utf8');
  }

  /** Where its doors are. */
  get url() {
    const address = /^http +(http:\S+)/m.exec(this.said)?.[1];
    assert(address, `the brain opened no doors:\n${this.said}`);
    return address.replace(/\/v1\/?$/, '');
  }

  /** Stops it in good order, as Ctrl-C does; says how long that took, in milliseconds. */
  async stop() {
    const began = Date.now();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGTERM');
      const hangs = setTimeout(() => this.child.kill('SIGKILL'), 30_000);
      await once(this.child, 'exit');
      clearTimeout(hangs);
    }
    rmSync(this.folder, { recursive: true, force: true });
    return Date.now() - began;
  }
}
