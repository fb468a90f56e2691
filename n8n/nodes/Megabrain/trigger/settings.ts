// What did a person set for the trigger? Read once, while n8n activates the workflow: later, expressions cannot be.

import type { ITriggerFunctions } from 'n8n-workflow';

export interface Settings {
	delivery: 'core' | 'durable';
	subject: string;
	bodyType: 'json' | 'binary';
	/** Runs at the same time, at most. */
	parallel: number;
	/** For one run. */
	limitMs: number;

	queue?: string;
	replies: boolean;

	stream: string;
	consumer: string;
	createStream: boolean;
	/** Until a message whose workflow failed is delivered again. */
	retryAfterMs: number;
	/** Of one message, at most; undefined is for ever. */
	maxDeliver?: number;
}

export function readSettings(node: ITriggerFunctions): Settings {
	const set = (name: string) => node.getNodeParameter(name, '') as string;
	const options = node.getNodeParameter('options', {}) as Record<string, number | undefined>;
	return {
		delivery: set('delivery') as Settings['delivery'],
		subject: set('subject'),
		bodyType: set('bodyType') as Settings['bodyType'],
		parallel: options.parallel ?? 20,
		limitMs: (options.seconds ?? 600) * 1000,
		queue: set('queue') || undefined,
		replies: set('reply') === 'lastItem',
		stream: set('stream'),
		consumer: set('consumer'),
		createStream: Boolean(node.getNodeParameter('createStream', false)),
		retryAfterMs: (options.retryAfter ?? 30) * 1000,
		maxDeliver: options.maxDeliver || undefined,
	};
}
