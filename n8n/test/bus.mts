// How does a test get a bus? A real nats-server with the repository's nats.conf and n8n's user, that can be killed and
// started again at the same place.

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import type { BusCredential } from '../dist/bus/credential.js';

export const ROOT = resolve(import.meta.dirname, '../..');
export const CACHE = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'megabrain');
const ROLES = ['client', 'model', 'node', 'admin', 'n8n'] as const;
export type Role = (typeof ROLES)[number];

export class BusServer {
	readonly folder = mkdtempSync(join(tmpdir(), 'megabrain-n8n-'));
	private process?: ChildProcess;
	private readonly people: NatsConnection[] = [];
	readonly port: number;

	private constructor(port: number) {
		this.port = port;
	}

	static async start(): Promise<BusServer> {
		const server = new BusServer(await freePort());
		const conf = readFileSync(join(ROOT, 'nats.conf'), 'utf8');
		const user = readFileSync(join(ROOT, 'n8n/bus-user.conf'), 'utf8');
		const place = '      # A person who repairs things';
		assert(conf.includes(place), 'nats.conf has no place before its admin');
		writeFileSync(server.config, conf.replace(place, () => `${user}\n${place}`));
		mkdirSync(join(server.folder, 'store'));
		await server.up();
		return server;
	}

	get config() {
		return join(this.folder, 'nats.conf');
	}

	get url() {
		return `nats://127.0.0.1:${this.port}`;
	}

	/** Starts the server, or starts it again with what it had stored. */
	async up() {
		this.process = spawn(
			serverProgram(),
			['-c', this.config, '-a', '127.0.0.1', '-p', String(this.port), '-sd', join(this.folder, 'store'), '-l', join(this.folder, 'bus.log')],
			{ env: { ...process.env, ...passwords() }, stdio: 'ignore' },
		);
		const admin = await this.enter('admin', 10_000);
		await admin.close();
	}

	/** Ends it without a word to anybody. */
	async kill() {
		await end(this.process, 'SIGKILL');
	}

	credential(role: Role): BusCredential {
		return { url: this.url, authentication: 'password', user: role, password: password(role) };
	}

	/** A connection of the library's own, closed with the server. */
	async enter(role: Role, withinMs = 0): Promise<NatsConnection> {
		const until = Date.now() + withinMs;
		for (;;) {
			try {
				const person = await connect({ servers: this.url, user: role, pass: password(role), maxReconnectAttempts: -1, reconnectTimeWait: 200 });
				this.people.push(person);
				return person;
			} catch (error) {
				if (Date.now() > until) throw error;
				await sleep(50);
			}
		}
	}

	async stop() {
		for (const person of this.people) await person.close();
		await end(this.process, 'SIGTERM');
		rmSync(this.folder, { recursive: true });
	}
}

/** A nats-server with settings of its own, and nothing of the repository's. */
export class PlainServer {
	readonly url: string;
	private readonly folder: string;
	private readonly process: ChildProcess;

	private constructor(url: string, folder: string, process: ChildProcess) {
		this.url = url;
		this.folder = folder;
		this.process = process;
	}

	static async start(settings: string): Promise<PlainServer> {
		const [port, folder] = [await freePort(), mkdtempSync(join(tmpdir(), 'megabrain-n8n-'))];
		const config = join(folder, 'nats.conf');
		writeFileSync(config, `${settings}\n`);
		const server = spawn(serverProgram(), ['-c', config, '-a', '127.0.0.1', '-p', String(port), '-l', join(folder, 'bus.log')], { stdio: 'ignore' });
		const until = Date.now() + 10_000;
		while (!(await listens(port))) {
			assert(Date.now() < until, `nats-server does not start: ${existsSync(join(folder, 'bus.log')) && readFileSync(join(folder, 'bus.log'), 'utf8')}`);
			await sleep(50);
		}
		return new PlainServer(`nats://127.0.0.1:${port}`, folder, server);
	}

	async stop() {
		await end(this.process, 'SIGTERM');
		rmSync(this.folder, { recursive: true });
	}
}

async function listens(port: number): Promise<boolean> {
	const socket = createConnection(port, '127.0.0.1');
	const outcome = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false)]).catch(() => false);
	socket.destroy();
	return outcome;
}

export function passwords(): Record<string, string> {
	return Object.fromEntries(ROLES.map((role) => [`MEGABRAIN_${role.toUpperCase()}_PASSWORD`, password(role)]));
}

const password = (role: Role) => `${role}Secret`;

export async function freePort(): Promise<number> {
	const server = createServer().listen(0, '127.0.0.1');
	await once(server, 'listening');
	const { port } = server.address() as { port: number };
	server.close();
	await once(server, 'close');
	return port;
}

/** Ends a process that this test started, and waits until it has ended. */
export async function end(child: ChildProcess | undefined, signal: NodeJS.Signals) {
	if (!child || child.exitCode !== null || child.signalCode !== null) return;
	const ended = once(child, 'exit');
	child.kill(signal);
	await ended;
}

/** The one that the brain fetches, or one on the PATH. */
function serverProgram(): string {
	const places = [join(CACHE, 'models'), ...(process.env.PATH ?? '').split(delimiter)].map((folder) => join(folder, 'nats-server'));
	const found = places.find(existsSync);
	assert(found, 'no nats-server: run `python3 models/pull.py nats-server`');
	return found;
}
