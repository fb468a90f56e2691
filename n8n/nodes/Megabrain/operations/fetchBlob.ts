// Media out of the blob store, by its reference.

import { getBlob } from '../../../bus/blobs';
import type { Operation } from '.';
import { outputField } from './common';

export const fetchBlob: Operation = {
	properties: [
		{
			displayName: 'Reference',
			name: 'blob',
			type: 'string',
			default: '',
			required: true,
			placeholder: 'blob:sha256:…',
		},
		outputField,
	],
	options: [
		{
			displayName: 'File Name',
			name: 'fileName',
			type: 'string',
			default: '',
		},
		{
			displayName: 'MIME Type',
			name: 'mimeType',
			type: 'string',
			default: '',
			placeholder: 'image/jpeg',
			description: 'Without it, the first bytes tell',
		},
	],
	async run(task) {
		const { fileName, mimeType } = task.options as Record<string, string>;
		const blob = task.parameter<string>('blob');
		const bytes = await getBlob(task.bus, blob);
		return await task.binary({ blob, bytes: bytes.length }, task.parameter('outputField'), bytes, fileName, mimeType);
	},
};
