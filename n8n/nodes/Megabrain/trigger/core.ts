// How does a workflow listen to a subject, and answer who asked?

import type { ITriggerFunctions } from 'n8n-workflow';
import { type Bus, HEADERS_ROOM, mayNot } from '../../../bus/bus';
import { Fault } from '../../../bus/fault';
import { headers as newHeaders, type Msg } from '../../../bus/nats';
import type { Settings } from './settings';
import type { Source } from './source';
import { runWorkflow, toItem } from './workflow';

/** Messages that wait for a run to end; the one after is refused, or without a reply subject dropped. */
const MOST_WAITING = 1_000;

export async function listen(node: ITriggerFunctions, bus: Bus, settings: Settings): Promise<Source> {
	const { subject, queue, parallel } = settings;
	const subscription = bus.nats.subscribe(subject, { queue });
	// A refusal ends the subscription before the server answers the flush.
	await bus.nats.flush();
	if (subscription.isClosed()) throw mayNot('subscribe to', subject);

	const running = new Set<Promise<void>>();
	const ended = (async () => {
		for await (const message of subscription) {
			if (subscription.getPending() > MOST_WAITING) {
				node.logger.warn('a message was refused: too many wait', { subject });
				if (settings.replies) answer(message, new Fault('overloaded', `${MOST_WAITING} messages wait for this workflow`));
				continue;
			}
			const run = handle(node, bus, settings, message).finally(() => running.delete(run));
			running.add(run);
			if (running.size >= parallel) await Promise.race(running);
		}
		await Promise.allSettled(running);
	})();
	return { ended, stop: () => subscription.unsubscribe() };
}

async function handle(node: ITriggerFunctions, bus: Bus, { bodyType, limitMs, replies }: Settings, message: Msg) {
	const deadline = Number(message.headers?.get('Megabrain-Deadline-Ms')) || limitMs;
	try {
		const item = await toItem(node, bodyType, message, { reply: message.reply });
		const last = await runWorkflow(node, item, Math.min(deadline, limitMs));
		if (replies) answer(message, last?.json ?? {}, bus.nats.info?.max_payload);
	} catch (error) {
		const fault = error instanceof Fault ? error : new Fault('engine', (error as Error).message);
		node.logger.warn(`the message was not worked on: ${fault.message}`, { subject: message.subject });
		if (replies) answer(message, fault);
	}
}

/** Answers once; a message without a reply subject wants no answer. */
function answer(message: Msg, said: Fault | object, limit = Infinity): void {
	if (!message.reply) return;
	const headers = newHeaders();
	headers.set('Content-Type', 'application/json');
	if (said instanceof Fault) {
		headers.set('Nats-Service-Error', said.kind);
		headers.set('Nats-Service-Error-Code', String(said.code));
		message.respond(JSON.stringify({ error: said, done: true }), { headers });
		return;
	}
	const body = JSON.stringify(said);
	const size = Buffer.byteLength(body) + HEADERS_ROOM;
	if (size > limit) return answer(message, new Fault('too_large', `the answer has ${size} bytes, the bus takes ${limit}`));
	message.respond(body, { headers });
}
