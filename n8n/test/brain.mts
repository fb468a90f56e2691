// How does a test get a brain? `megabrain up` on the test's own bus, every model ready.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BusServer, end, passwords, ROOT } from './bus.mts';

/** Loading takes seconds; on a machine that is busy with other things, more. */
const LOADING_MS = 180_000;
const PROGRAM = join(process.env.MEGABRAIN_PROGRAMS || resolve(ROOT, process.env.CARGO_TARGET_DIR || 'target', 'release'), 'megabrain');

/** No model: what the bus does needs none. */
const ECHO = `
[brain]
name = "n8n"
drain = "2s"
[gateway]
enabled = false
[bus]
blob_max = "64 MiB"
[models.echo]
actor = "echo"
[models.narrow]
actor = "echo"
slots = 1
queue = 1
`;

export class Brain {
	private readonly process: ChildProcess;
	private readonly log: string;

	private constructor(process: ChildProcess, log: string) {
		this.process = process;
		this.log = log;
	}

	/** A brain that only echoes. */
	static async echo(server: BusServer): Promise<Brain> {
		const file = join(server.folder, 'brain.toml');
		writeFileSync(file, ECHO);
		return await Brain.start(server, file);
	}

	/** The starter brain, its doors at a free port: 8080 may be somebody's. It may call n8n, which is on this machine too. */
	static async starter(server: BusServer): Promise<Brain> {
		const file = join(server.folder, 'brain.toml');
		const starter = readFileSync(join(ROOT, 'megabrain.toml'), 'utf8');
		assert(starter.includes('\n[gateway]\n'), 'megabrain.toml has no [gateway]');
		writeFileSync(file, starter.replace('\n[gateway]\n', '$&listen = "127.0.0.1:0"\nallow = ["127.0.0.1"]\n'));
		return await Brain.start(server, file);
	}

	private static async start(server: BusServer, file: string): Promise<Brain> {
		assert(existsSync(PROGRAM), `no ${PROGRAM}: run \`make build\`, or name a folder in MEGABRAIN_PROGRAMS`);
		const log = join(server.folder, 'brain.log');
		const output = openSync(log, 'w');
		const child = spawn(PROGRAM, ['up', file], {
			env: { ...process.env, ...passwords(), NATS_URL: server.url, XDG_RUNTIME_DIR: server.folder },
			stdio: ['ignore', output, output],
		});
		closeSync(output);
		const brain = new Brain(child, log);
		const until = Date.now() + LOADING_MS;
		while (!/ models in /.test(brain.said)) {
			if (child.exitCode !== null || Date.now() > until) {
				await brain.stop();
				assert.fail(`the brain did not come up:\n${brain.said}`);
			}
			await sleep(50);
		}
		return brain;
	}

	/** Of its HTTP gateway. */
	get gateway(): string {
		const address = /^http +(http:\S+)/m.exec(this.said)?.[1];
		assert(address, `the brain opened no doors:\n${this.said}`);
		return address;
	}

	private get said() {
		return readFileSync(this.log, 'utf8');
	}

	async stop() {
		await end(this.process, 'SIGTERM');
	}
}
