// Text to speech.

import type { IDataObject } from 'n8n-workflow';
import { getBlob } from '../../../bus/blobs';
import type { Media } from '../task';
import type { Operation } from '.';
import { model, outputField } from './common';

export const speak: Operation = {
	properties: [
		model,
		{
			displayName: 'Text',
			name: 'text',
			type: 'string',
			typeOptions: { rows: 3 },
			default: '',
			required: true,
		},
		outputField,
	],
	options: [
		{
			displayName: 'Format',
			name: 'format',
			type: 'options',
			options: [
				{ name: 'FLAC', value: 'flac' },
				{ name: 'Ogg Opus', value: 'opus' },
				{ name: 'WAV', value: 'wav' },
			],
			default: 'wav',
		},
		{
			displayName: 'Speed',
			name: 'speed',
			type: 'number',
			typeOptions: { minValue: 0.25, maxValue: 4, numberPrecision: 2 },
			default: 1,
			description: "1 is the voice's own",
		},
		{
			displayName: 'Voice',
			name: 'voice',
			type: 'string',
			default: '',
			description: "Who speaks. Without it, the model's own choice.",
		},
	],
	async run(task) {
		const options = task.options;
		const { audio, ...json } = await task.ask(task.subject('speak'), { ...options, text: task.parameter<string>('text') });
		const sound = audio as unknown as Media;
		const bytes = 'data' in sound ? Buffer.from(sound.data, 'base64') : await getBlob(task.bus, sound.blob);
		const extension = { flac: 'flac', opus: 'ogg' }[options.format as string] ?? 'wav';
		return await task.binary(json as IDataObject, task.parameter('outputField'), bytes, `speech.${extension}`, sound.mime);
	},
};
