// Who else uses this credential? All of a process share one connection for each, closed when nobody has used it for a while.

import { setTimeout as sleep } from 'node:timers/promises';
import { Bus } from './bus';
import type { BusCredential } from './credential';
import { Fault } from './fault';

/** How long a connection is kept for whoever comes next, in milliseconds. */
const IDLE_MS = 30_000;
/** How long to wait before the next try to reach a bus that is away. */
const RETRY_MS = 2_000;

interface Shared {
	opening: Promise<Bus>;
	users: number;
	idle?: NodeJS.Timeout;
}

const open = new Map<string, Shared>();

/** A share in a connection, until it is given back. */
export interface Lease {
	bus: Bus;
	release(): void;
}

/** Shares the connection of a credential; opens it first if there is none. @throws {Fault} */
export async function borrow(credential: BusCredential, idleMs = IDLE_MS): Promise<Lease> {
	const key = JSON.stringify(credential);
	const shared = open.get(key) ?? begin(key, credential);
	shared.users += 1;
	clearTimeout(shared.idle);
	let released = false;
	const release = () => {
		if (released) return;
		released = true;
		shared.users -= 1;
		if (shared.users === 0) shared.idle = setTimeout(() => void end(key, shared), idleMs).unref();
	};
	try {
		return { bus: await shared.opening, release };
	} catch (error) {
		release();
		throw error;
	}
}

/** The same, for as long as it takes until the bus is there; a refusal ends it. @throws {Fault} */
export async function borrowPatiently(credential: BusCredential, signal: AbortSignal): Promise<Lease> {
	for (;;) {
		try {
			return await borrow(credential);
		} catch (error) {
			if (!(error instanceof Fault) || error.kind === 'unauthorized') throw error;
		}
		await sleep(RETRY_MS, undefined, { signal });
	}
}

function begin(key: string, credential: BusCredential): Shared {
	const shared: Shared = { opening: Bus.connect(credential), users: 0 };
	open.set(key, shared);
	const forget = () => open.get(key) === shared && open.delete(key);
	shared.opening.then(async (bus) => await bus.nats.closed()).then(forget, forget);
	return shared;
}

async function end(key: string, shared: Shared) {
	if (open.get(key) === shared) open.delete(key);
	const bus = await shared.opening.catch(() => undefined);
	await bus?.nats.close();
}
