// Speech to text.

import type { Operation } from '.';
import { inputField, model } from './common';

export const transcribe: Operation = {
	properties: [model, inputField],
	options: [
		{
			displayName: 'Format',
			name: 'format',
			type: 'options',
			options: [
				{ name: 'Subtitles (SRT)', value: 'srt' },
				{ name: 'Subtitles (WebVTT)', value: 'vtt' },
				{ name: 'Text', value: 'text' },
			],
			default: 'text',
			description: 'What the field "text" of the answer is. The segments have their times with each.',
		},
		{
			displayName: 'Language',
			name: 'language',
			type: 'string',
			default: '',
			placeholder: 'en',
			description: 'What is spoken, ISO 639-1. Without it, the model finds out, if it can.',
		},
		{
			displayName: 'Translate',
			name: 'translate',
			type: 'boolean',
			default: false,
			description: 'Whether to write it down in English, whatever is spoken',
		},
		{
			displayName: 'Words',
			name: 'words',
			type: 'boolean',
			default: false,
			description: 'Whether each segment has its words with their times',
		},
	],
	async run(task) {
		const [audio] = await task.media(task.parameter('inputField'));
		return task.json(await task.ask(task.subject('transcribe'), { ...task.options, audio }));
	},
};
