// A message that nobody need answer.

import type { Operation } from '.';
import { headersOption, payloadOf, payloadProperties } from './payload';

export const publish: Operation = {
	properties: payloadProperties,
	options: [headersOption],
	async run(task) {
		const { bytes, headers } = await payloadOf(task);
		const subject = task.parameter<string>('subject');
		await task.bus.publish(subject, bytes, task.deadlineMs, headers);
		return task.json({ subject, bytes: bytes.length });
	},
};
