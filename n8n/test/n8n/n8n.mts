// How does a test get an n8n? A real one, installed by scripts/test_n8n.sh, with this package and all workflows in a
// folder of its own.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, cpSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BusServer, end, freePort } from '../bus.mts';

const PACKAGE = resolve(import.meta.dirname, '../..');
const STARTING_MS = 120_000;

function installation(): string {
	const folder = process.env.N8N_INSTALLATION;
	assert(folder, 'N8N_INSTALLATION does not name the folder of an n8n: run scripts/test_n8n.sh');
	return folder;
}

export class N8n {
	readonly port: number;
	private readonly brokerPort: number;
	private readonly folder = mkdtempSync(join(tmpdir(), 'megabrain-n8n-home-'));
	private process?: ChildProcess;
	private cookie = '';
	private readonly paths: string[] = [];

	private constructor(port: number, brokerPort: number) {
		this.port = port;
		this.brokerPort = brokerPort;
	}

	/** Imports and publishes every workflow, then starts. */
	static async start(server: BusServer, gateway: string): Promise<N8n> {
		const n8n = new N8n(await freePort(), await freePort());
		const home = join(n8n.folder, '.n8n');
		const installed = join(home, 'nodes/node_modules/n8n-nodes-megabrain');
		mkdirSync(installed, { recursive: true });
		cpSync(join(PACKAGE, 'package.json'), join(installed, 'package.json'));
		cpSync(join(PACKAGE, 'dist'), join(installed, 'dist'), { recursive: true });

		const credentials = join(n8n.folder, 'credentials.json');
		writeFileSync(
			credentials,
			JSON.stringify([
				{ id: 'megabrainBus', name: 'Megabrain bus', type: 'megabrainBusApi', data: server.credential('n8n') },
				{ id: 'megabrainOpenAi', name: 'Megabrain gateway', type: 'openAiApi', data: { apiKey: 'none', url: `${gateway}/v1` } },
			]),
		);
		n8n.run('import:credentials', `--input=${credentials}`);

		const workflows = join(n8n.folder, 'workflows');
		mkdirSync(workflows);
		for (const folder of [join(PACKAGE, 'workflows'), join(import.meta.dirname, 'workflows')])
			for (const file of readdirSync(folder)) {
				const text = readFileSync(join(folder, file), 'utf8').replaceAll('http://127.0.0.1:8080', gateway);
				writeFileSync(join(workflows, file), text);
			}
		n8n.run('import:workflow', '--separate', `--input=${workflows}`);
		for (const file of readdirSync(workflows)) {
			const { id, nodes } = JSON.parse(readFileSync(join(workflows, file), 'utf8'));
			n8n.run('publish:workflow', `--id=${id}`);
			for (const { type, parameters } of nodes) if (type === 'n8n-nodes-base.webhook') n8n.paths.push(parameters.path);
		}
		await n8n.up();
		return n8n;
	}

	/** Starts n8n, or starts it again with what it had stored. */
	async up() {
		const output = openSync(this.log, 'a');
		this.process = spawn(process.execPath, [this.program, 'start'], { env: this.environment, stdio: ['ignore', output, output] });
		closeSync(output);
		const until = Date.now() + STARTING_MS;
		while (!this.said.includes('Editor is now accessible')) {
			if (this.process.exitCode !== null || Date.now() > until) {
				await this.kill();
				assert.fail(`n8n did not start:\n${this.said}`);
			}
			await sleep(100);
		}
		for (const path of this.paths) await this.untilRegistered(path, until);
	}

	/** Workflows are activated one after the other, once n8n runs. */
	private async untilRegistered(path: string, until: number) {
		for (;;) {
			const answer = await fetch(`http://127.0.0.1:${this.port}/webhook/${path}`);
			// It takes no GET, and says so if it takes a POST.
			if (/POST request/.test(await answer.text())) return;
			assert(Date.now() < until, `the webhook ${path} was not registered:\n${this.said}`);
			await sleep(100);
		}
	}

	/** Ends it without a word to anybody. */
	async kill() {
		await end(this.process, 'SIGKILL');
		writeFileSync(this.log, '');
	}

	async stop() {
		await end(this.process, 'SIGTERM');
		rmSync(this.folder, { recursive: true });
	}

	get said() {
		return readFileSync(this.log, 'utf8');
	}

	/** Posts to a workflow's webhook. */
	async post(path: string, body: Uint8Array | object, type = 'application/json'): Promise<Response> {
		return await fetch(`http://127.0.0.1:${this.port}/webhook/${path}`, {
			method: 'POST',
			headers: { 'Content-Type': type },
			body: body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body),
			signal: AbortSignal.timeout(240_000),
		});
	}

	/** What the editor asks, as the owner of this n8n. */
	async rest(path: string, body: object): Promise<any> {
		if (!this.cookie) {
			const owner = { email: 'owner@localhost.test', firstName: 'n8n', lastName: 'Owner', password: 'Secret123' };
			this.cookie = (await this.call('owner/setup', owner)).headers.getSetCookie().map((each) => each.split(';')[0]).join('; ');
		}
		return ((await (await this.call(path, body)).json()) as { data: unknown }).data;
	}

	private async call(path: string, body: object): Promise<Response> {
		const answer = await fetch(`http://127.0.0.1:${this.port}/rest/${path}`, {
			method: 'POST',
			headers: { 'Content-Type': 'application/json', Cookie: this.cookie, 'browser-id': 'test' },
			body: JSON.stringify(body),
		});
		assert(answer.ok, `${path}: ${answer.status} ${answer.ok ? '' : await answer.text()}`);
		return answer;
	}

	private get log() {
		return join(this.folder, 'n8n.log');
	}

	private get program() {
		return join(installation(), 'node_modules/n8n/bin/n8n');
	}

	private get environment() {
		return {
			PATH: process.env.PATH,
			HOME: this.folder,
			N8N_USER_FOLDER: this.folder,
			N8N_PORT: String(this.port),
			N8N_LISTEN_ADDRESS: '127.0.0.1',
			N8N_HOST: '127.0.0.1',
			N8N_RUNNERS_BROKER_PORT: String(this.brokerPort),
			N8N_COMMUNITY_PACKAGES_ALLOW_TOOL_USAGE: 'true',
			N8N_PAYLOAD_SIZE_MAX: '64',
			N8N_DIAGNOSTICS_ENABLED: 'false',
			N8N_VERSION_NOTIFICATIONS_ENABLED: 'false',
			N8N_TEMPLATES_ENABLED: 'false',
			N8N_PERSONALIZATION_ENABLED: 'false',
			N8N_SECURE_COOKIE: 'false',
			N8N_LOG_LEVEL: process.env.N8N_LOG_LEVEL || 'info',
			NO_COLOR: '1',
		};
	}

	private run(...command: string[]) {
		const done = spawnSync(process.execPath, [this.program, ...command], { env: this.environment, encoding: 'utf8' });
		assert.equal(done.status, 0, `n8n ${command.join(' ')}:\n${done.stdout}\n${done.stderr}`);
	}
}
