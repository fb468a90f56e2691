// Which parameters do several operations share?

import type { INodeProperties } from 'n8n-workflow';

export const model: INodeProperties = {
	displayName: 'Model Name or ID',
	name: 'model',
	type: 'options',
	typeOptions: { loadOptionsMethod: 'getModels', loadOptionsDependsOn: ['operation'] },
	default: '',
	description:
		'Whom to ask. Choose from the list, or specify an ID using an <a href="https://docs.n8n.io/code/expressions/">expression</a>.',
};

/** One of several, each value with its label. */
export const choice = (displayName: string, name: string, initial: string, labels: Record<string, string>): INodeProperties => ({
	displayName,
	name,
	type: 'options',
	options: Object.entries(labels).map(([value, label]) => ({ name: label, value })),
	default: initial,
});

const maxTokens: INodeProperties = {
	displayName: 'Max Tokens',
	name: 'max_tokens',
	type: 'number',
	typeOptions: { minValue: 1 },
	default: 512,
	description: 'The longest answer',
};

const temperature: INodeProperties = {
	displayName: 'Temperature',
	name: 'temperature',
	type: 'number',
	typeOptions: { minValue: 0, maxValue: 2, numberPrecision: 2 },
	default: 0.7,
	description: 'How random the answer is: 0 is always the likeliest',
};

const seed: INodeProperties = {
	displayName: 'Seed',
	name: 'seed',
	type: 'number',
	default: 1,
	description: 'The same seed gives the same answer',
};

const session: INodeProperties = {
	displayName: 'Session',
	name: 'session',
	type: 'string',
	default: '',
	description: 'Requests of one session go to the same instance of a model',
};

export const sampling = [maxTokens, seed, session, temperature];

/** Where an operation puts what it makes. */
export const outputField: INodeProperties = {
	displayName: 'Put Output File in Field',
	name: 'outputField',
	type: 'string',
	default: 'data',
	required: true,
	hint: 'The name of the output binary field to put the file in',
};

export const inputField: INodeProperties = {
	displayName: 'Input Binary Field',
	name: 'inputField',
	type: 'string',
	default: 'data',
	required: true,
	hint: 'The name of the input binary field containing the file',
};
