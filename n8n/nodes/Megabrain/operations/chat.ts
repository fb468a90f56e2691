// One language model, one conversation.

import type { IDataObject } from 'n8n-workflow';
import type { Operation } from '.';
import { model, sampling } from './common';

export const chat: Operation = {
	properties: [
		model,
		{
			displayName: 'Messages',
			name: 'messages',
			type: 'fixedCollection',
			typeOptions: { multipleValues: true, sortable: true },
			placeholder: 'Add Message',
			default: { message: [{ role: 'user', content: '' }] },
			options: [
				{
					displayName: 'Message',
					name: 'message',
					values: [
						{
							displayName: 'Role',
							name: 'role',
							type: 'options',
							options: [
								{ name: 'Assistant', value: 'assistant' },
								{ name: 'System', value: 'system' },
								{ name: 'User', value: 'user' },
							],
							default: 'user',
						},
						{
							displayName: 'Content',
							name: 'content',
							type: 'string',
							typeOptions: { rows: 2 },
							default: '',
						},
					],
				},
			],
		},
	],
	options: [
		...sampling,
		{
			displayName: 'Pictures',
			name: 'images',
			type: 'string',
			default: '',
			placeholder: 'data',
			description: 'Names of binary fields with pictures, for a model with eyes: they go with the last message',
		},
		{
			displayName: 'Top P',
			name: 'top_p',
			type: 'number',
			typeOptions: { minValue: 0, maxValue: 1, numberPrecision: 2 },
			default: 0.95,
			description: 'Keep only the likeliest tokens whose chances add up to this',
		},
	],
	async run(task) {
		const { images = '', ...options } = task.options as Record<string, string>;
		const { message: messages = [] } = task.parameter<{ message?: IDataObject[] }>('messages');
		const pictures = await task.media(images);
		const last = messages.at(-1);
		if (last && pictures.length > 0) last.images = pictures;
		return task.json(await task.ask(task.subject('chat'), { ...options, messages }));
	},
};
