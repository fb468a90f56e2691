// What does a raw message hold? JSON, or the bytes of a binary field.

import type { INodeProperties } from 'n8n-workflow';
import { Fault } from '../../../bus/fault';
import { parsed, type Task } from '../task';
import { choice, inputField } from './common';

export const payloadProperties: INodeProperties[] = [
	{
		displayName: 'Subject',
		name: 'subject',
		type: 'string',
		default: '',
		required: true,
		placeholder: 'user.orders.new',
	},
	choice('Body', 'bodyType', 'json', { binary: 'Binary Field', json: 'JSON' }),
	{
		displayName: 'JSON',
		name: 'body',
		type: 'json',
		default: '{}',
		displayOptions: { show: { bodyType: ['json'] } },
	},
	{ ...inputField, displayOptions: { show: { bodyType: ['binary'] } } },
];

export const headersOption: INodeProperties = {
	displayName: 'Headers',
	name: 'headers',
	type: 'json',
	default: '{}',
	description: 'NATS headers, as a JSON object of texts',
};

/** The body, and the headers that tell what it is. @throws {Fault} `invalid_request` */
export async function payloadOf(task: Task): Promise<{ bytes: Uint8Array; headers: Record<string, string> }> {
	const headers = json(task.options.headers ?? {}, 'the headers') as Record<string, string>;
	if (task.parameter('bodyType') === 'binary') return { bytes: await task.bytes(task.parameter('inputField')), headers };
	const bytes = Buffer.from(JSON.stringify(json(task.parameter('body'), 'the body')));
	return { bytes, headers: { 'Content-Type': 'application/json', ...headers } };
}

/** n8n gives text or, of an expression, the value itself. */
function json(value: unknown, what: string): unknown {
	if (typeof value !== 'string') return value;
	const read = parsed(Buffer.from(value));
	if (read === undefined) throw new Fault('invalid_request', `${what} is not JSON`);
	return read;
}
