// A question with anything attached: sound is heard, pictures and film are seen, and one answer comes of it all.

import { names } from '../task';
import type { Operation } from '.';
import { choice, sampling } from './common';

export const ask: Operation = {
	properties: [
		{
			displayName: 'Question',
			name: 'text',
			type: 'string',
			typeOptions: { rows: 3 },
			default: '',
			description: 'Without one, what is heard in the attachments is the question',
		},
		{
			displayName: 'Attached Binary Fields',
			name: 'attachments',
			type: 'string',
			default: '',
			placeholder: 'data',
			description: 'Names of binary fields with sound, pictures or film, with commas between',
		},
	],
	options: [
		...sampling,
		{
			displayName: 'Attached References',
			name: 'blobs',
			type: 'string',
			default: '',
			placeholder: 'blob:sha256:…',
			description: 'Media that is in the blob store already, with commas between',
		},
		{
			displayName: 'Frames',
			name: 'frames',
			type: 'number',
			typeOptions: { minValue: 1 },
			default: 12,
			description: 'How many pictures to take of each film at most',
		},
		{
			displayName: 'Models',
			name: 'models',
			type: 'string',
			default: '',
			placeholder: 'deep,fast',
			description: "Who answers, best first, with commas between. Without it, the brain's own order.",
		},
		{
			...choice('Need', 'need', 'any', { all: 'All Attachments', any: 'Any Attachment' }),
			description: 'Which attachments must have yielded something; else it is a fault',
		},
		choice('Policy', 'policy', 'first', { all: 'All Models, Side by Side', first: 'First Model, the Next Where It Fails' }),
	],
	async run(task) {
		const { blobs = '', models, ...options } = task.options as Record<string, string>;
		const attachments = await task.media(task.parameter('attachments'));
		attachments.push(...names(blobs).map((blob) => ({ blob })));
		return task.json(
			await task.ask('mb.v1.ask', {
				...options,
				...(models && { models: names(models) }),
				...(attachments.length > 0 && { attachments }),
				...(task.parameter('text') !== '' && { text: task.parameter<string>('text') }),
			}),
		);
	},
};
