// How does a message start a workflow for certain, though n8n or the bus be away meanwhile? JetStream keeps it until the
// workflow has succeeded.

import { setTimeout as sleep } from 'node:timers/promises';
import type { ITriggerFunctions } from 'n8n-workflow';
import type { Bus } from '../../../bus/bus';
import { Fault } from '../../../bus/fault';
import {
	AckPolicy,
	type ConsumerMessages,
	jetstream,
	JetStreamApiError,
	jetstreamManager,
	type JetStreamManager,
	type JsMsg,
} from '../../../bus/nats';
import type { Settings } from './settings';
import type { Source } from './source';
import { runWorkflow, toItem } from './workflow';

/** Unless told otherwise within this time, the server thinks that n8n has died, and delivers again. */
const ACK_WAIT_MS = 30_000;
const RETRY_MS = 2_000;
const NANOSECONDS = 1e6;

export async function consume(node: ITriggerFunctions, bus: Bus, settings: Settings): Promise<Source> {
	const { stream, consumer: durable } = settings;
	const manager = await jetstreamManager(bus.nats, { checkAPI: false });
	if (settings.createStream) await makeStream(manager, settings);
	await makeConsumer(manager, settings);

	let stopped = false;
	let messages: ConsumerMessages | undefined;
	const running = new Set<Promise<void>>();
	const ended = (async () => {
		// It outlives outages by itself; should it end all the same, it is begun again.
		while (!stopped) {
			try {
				const consumer = await jetstream(bus.nats).consumers.get(stream, durable);
				messages = await consumer.consume({ max_messages: settings.parallel });
				for await (const message of messages) {
					const run = handle(node, message, settings).finally(() => running.delete(run));
					running.add(run);
				}
			} catch (error) {
				node.logger.warn(`the stream is not there: ${(error as Error).message}`, { stream, durable });
			}
			if (!stopped) await sleep(RETRY_MS);
		}
		await Promise.allSettled(running);
	})();
	const stop = () => {
		stopped = true;
		messages?.stop();
	};
	return { ended, stop };
}

async function handle(node: ITriggerFunctions, message: JsMsg, { bodyType, limitMs, retryAfterMs }: Settings) {
	const alive = setInterval(() => message.working(), ACK_WAIT_MS / 3);
	try {
		const { streamSequence, deliveryCount } = message.info;
		const item = await toItem(node, bodyType, message, { sequence: streamSequence, delivery: deliveryCount });
		await runWorkflow(node, item, limitMs);
		message.ack();
	} catch (error) {
		node.logger.warn(`the message will be delivered again: ${(error as Error).message}`, { sequence: message.seq });
		message.nak(retryAfterMs);
	} finally {
		clearInterval(alive);
	}
}

async function makeStream(manager: JetStreamManager, { stream: name, subject }: Settings) {
	if (await manager.streams.info(name).catch(absent)) return;
	await manager.streams.add({ name, subjects: [subject] }).catch(told(`the stream ${name} cannot be made`));
}

/** The consumer as it is set here, whoever made it. */
async function makeConsumer(manager: JetStreamManager, { stream, consumer: durable, ...settings }: Settings) {
	const config = {
		filter_subject: settings.subject,
		ack_wait: ACK_WAIT_MS * NANOSECONDS,
		max_ack_pending: settings.parallel,
		max_deliver: settings.maxDeliver ?? -1,
	};
	const failed = told(`the consumer ${durable} of the stream ${stream} cannot be made`);
	if (await manager.consumers.info(stream, durable).catch(absent)) await manager.consumers.update(stream, durable, config).catch(failed);
	else await manager.consumers.add(stream, { durable_name: durable, ack_policy: AckPolicy.Explicit, ...config }).catch(failed);
}

function absent(error: Error): null {
	if (error instanceof JetStreamApiError && error.status === 404) return null;
	throw told('JetStream cannot be asked')(error);
}

/** Without the right to ask, no answer comes: the library says that time was up. */
const told = (what: string) => (error: Error) => {
	throw new Fault('unavailable', `${what}: ${error.message} (if this is a time-out, the user may lack the right)`);
};
