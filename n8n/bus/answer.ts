// Who answers when the bus has just come back? A moment later than oneself, perhaps: then one asks again.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Bus, RequestOptions } from './bus';
import { Fault } from './fault';
import type { Msg } from './nats';

/** Nobody is there, or the router has not heard of its models again: nothing was done. */
const ABSENT = ['unavailable', 'not_found'];
/** Between two tries, in milliseconds. */
const PAUSE_MS = 500;

/** Sends a request, and gives its answer. @throws {Fault} what the answer says, if it is a fault */
export async function answerOf(bus: Bus, subject: string, payload: Uint8Array, options: RequestOptions): Promise<Msg> {
	const end = Date.now() + options.deadlineMs;
	for (;;) {
		const outcome = await tryOnce(bus, subject, payload, { ...options, deadlineMs: Math.max(1, end - Date.now()) });
		if (!(outcome instanceof Fault)) return outcome;
		const mayCome = ABSENT.includes(outcome.kind) && bus.isSettling && Date.now() + PAUSE_MS < end;
		if (!mayCome || options.signal?.aborted) throw outcome;
		await sleep(PAUSE_MS);
	}
}

async function tryOnce(bus: Bus, subject: string, payload: Uint8Array, options: RequestOptions): Promise<Msg | Fault> {
	try {
		const answer = await bus.request(subject, payload, options);
		return faultIn(answer) ?? answer;
	} catch (error) {
		if (error instanceof Fault) return error;
		throw error;
	}
}

function faultIn(answer: Msg): Fault | undefined {
	try {
		return Fault.of(answer.json());
	} catch {
		// Not JSON: anything else that somebody answers.
		return undefined;
	}
}
