// Which operations are there?

import type { INodeExecutionData, INodeProperties } from 'n8n-workflow';
import type { Task } from '../task';
import { ask } from './ask';
import { chat } from './chat';
import { embed } from './embed';
import { fetchBlob } from './fetchBlob';
import { publish } from './publish';
import { request } from './request';
import { see } from './see';
import { speak } from './speak';
import { storeBlob } from './storeBlob';
import { transcribe } from './transcribe';

/** One thing that the node can do: what a person sets for it, and how it is done. */
export interface Operation {
	/** Those above the options. */
	properties: INodeProperties[];
	/** What may be added beside the time-out. */
	options: INodeProperties[];
	run(task: Task): Promise<INodeExecutionData>;
}

export const operations: Record<string, Operation> = {
	ask,
	chat,
	embed,
	fetchBlob,
	publish,
	request,
	see,
	speak,
	storeBlob,
	transcribe,
};

const timeout: INodeProperties = {
	displayName: 'Timeout',
	name: 'timeout',
	type: 'number',
	typeOptions: { minValue: 0.1 },
	default: 600,
	description: 'Time for all of it, in seconds. The brain is told, and stops working when it is over.',
};

const shownFor = (operation: string, property: INodeProperties): INodeProperties => ({
	...property,
	displayOptions: { show: { ...property.displayOptions?.show, operation: [operation] } },
});

/** All operations' properties, each shown for its own. */
export function properties(): INodeProperties[] {
	return Object.entries(operations).flatMap(([name, { properties, options }]) => [
		...properties.map((property) => shownFor(name, property)),
		shownFor(name, {
			displayName: 'Options',
			name: 'options',
			type: 'collection',
			placeholder: 'Add option',
			default: {},
			options: [...options, timeout].sort((a, b) => a.displayName.localeCompare(b.displayName)),
		}),
	]);
}
