// Any request on any subject, and its one answer.

import type { IDataObject } from 'n8n-workflow';
import { parsed } from '../task';
import type { Operation } from '.';
import { outputField } from './common';
import { headersOption, payloadOf, payloadProperties } from './payload';

export const request: Operation = {
	properties: payloadProperties,
	options: [headersOption, { ...outputField, required: false, description: 'Where an answer goes that is not JSON' }],
	async run(task) {
		const { bytes, headers } = await payloadOf(task);
		const answer = await task.request(task.parameter('subject'), bytes, headers);
		const json = parsed(answer.data);
		if (json !== undefined) return task.json(typeof json === 'object' && json && !Array.isArray(json) ? (json as IDataObject) : { answer: json as string });
		const field = (task.options.outputField as string | undefined) ?? 'data';
		return await task.binary({ bytes: answer.data.length }, field, answer.data, undefined, answer.mime || undefined);
	},
};
