// What a picture shows, and the text in it.

import type { IDataObject } from 'n8n-workflow';
import type { Operation } from '.';
import { model } from './common';

export const see: Operation = {
	properties: [
		model,
		{
			displayName: 'Input Binary Fields',
			name: 'images',
			type: 'string',
			default: 'data',
			required: true,
			description: 'Names of binary fields with pictures, with commas between',
		},
		{
			displayName: 'Tasks',
			name: 'tasks',
			type: 'multiOptions',
			options: [
				{ name: 'Classify', value: 'classify', description: 'Name what it shows' },
				{ name: 'Describe', value: 'describe', description: 'Say in words what it shows' },
				{ name: 'Read', value: 'read', description: 'Read the text in it' },
			],
			default: ['classify', 'read'],
		},
	],
	options: [
		{
			displayName: 'Labels',
			name: 'top_k',
			type: 'number',
			typeOptions: { minValue: 1 },
			default: 5,
			description: 'How many of them classifying gives',
		},
		{
			displayName: 'Prompt',
			name: 'prompt',
			type: 'string',
			default: '',
			description: 'What to look for when describing',
		},
	],
	async run(task) {
		const tasks = task.parameter<string[]>('tasks');
		const images = await task.media(task.parameter('images'));
		return task.json(await task.ask(task.subject('see'), { ...task.options, images, ...(tasks.length > 0 && { tasks }) } as IDataObject));
	},
};
