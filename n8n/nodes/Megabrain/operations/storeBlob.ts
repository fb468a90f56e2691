// Media into the blob store: afterwards a short reference stands for it in any request.

import { putBlob } from '../../../bus/blobs';
import type { Operation } from '.';
import { inputField } from './common';

export const storeBlob: Operation = {
	properties: [inputField],
	options: [],
	async run(task) {
		const bytes = await task.bytes(task.parameter('inputField'));
		return task.json({ blob: await putBlob(task.bus, bytes), bytes: bytes.length });
	},
};
