// Text to vectors.

import type { Operation } from '.';
import { model } from './common';

export const embed: Operation = {
	properties: [
		model,
		{
			displayName: 'Text',
			name: 'input',
			type: 'string',
			typeOptions: { rows: 3 },
			default: '',
			required: true,
			description: 'An expression may give several texts, as an array: one vector for each',
		},
	],
	options: [
		{
			displayName: 'Truncate',
			name: 'truncate',
			type: 'boolean',
			default: false,
			description: "Whether of a text longer than the model's context the beginning is embedded; else it is a fault",
		},
	],
	async run(task) {
		return task.json(await task.ask(task.subject('embed'), { ...task.options, input: [task.parameter<string | string[]>('input')].flat() }));
	},
};
