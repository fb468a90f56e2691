// The node that asks.

import {
	type ICredentialsDecrypted,
	type ICredentialTestFunctions,
	type IExecuteFunctions,
	type ILoadOptionsFunctions,
	type INodeCredentialTestResult,
	type INodeExecutionData,
	type INodePropertyOptions,
	type INodeType,
	type INodeTypeDescription,
	NodeConnectionTypes,
} from 'n8n-workflow';
import { Bus } from '../../bus/bus';
import type { BusCredential } from '../../bus/credential';
import { Fault } from '../../bus/fault';
import { borrow } from '../../bus/shared';
import { nodeError } from './failure';
import { modelsOf } from './models';
import { operations, properties } from './operations';
import { Task } from './task';

export class Megabrain implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Megabrain',
		name: 'megabrain',
		icon: { light: 'file:../../icons/megabrain.svg', dark: 'file:../../icons/megabrain.dark.svg' },
		group: ['transform'],
		version: 1,
		subtitle: '={{ $parameter["operation"] }}',
		description: 'Ask models on your own machine: they hear, see, read, speak and think',
		defaults: { name: 'Megabrain' },
		usableAsTool: true,
		inputs: [NodeConnectionTypes.Main],
		outputs: [NodeConnectionTypes.Main],
		credentials: [{ name: 'megabrainBusApi', required: true, testedBy: 'canConnect' }],
		properties: [
			{
				displayName: 'Resource',
				name: 'resource',
				type: 'options',
				noDataExpression: true,
				options: [
					{ name: 'Brain', value: 'brain' },
					{ name: 'Media', value: 'media' },
					{ name: 'Message', value: 'message' },
					{ name: 'Model', value: 'model' },
				],
				default: 'brain',
			},
			{
				displayName: 'Operation',
				name: 'operation',
				type: 'options',
				noDataExpression: true,
				displayOptions: { show: { resource: ['brain'] } },
				options: [
					{ name: 'Ask', value: 'ask', action: 'Ask with anything attached', description: 'Ask a question with sound, pictures or film, get one answer' },
				],
				default: 'ask',
			},
			{
				displayName: 'Operation',
				name: 'operation',
				type: 'options',
				noDataExpression: true,
				displayOptions: { show: { resource: ['media'] } },
				options: [
					{ name: 'Fetch', value: 'fetchBlob', action: 'Fetch media from the blob store', description: 'Get a file by its reference' },
					{ name: 'Store', value: 'storeBlob', action: 'Store media in the blob store', description: 'Put a file where a short reference stands for it' },
				],
				default: 'storeBlob',
			},
			{
				displayName: 'Operation',
				name: 'operation',
				type: 'options',
				noDataExpression: true,
				displayOptions: { show: { resource: ['message'] } },
				options: [
					{ name: 'Publish', value: 'publish', action: 'Publish a message', description: 'Send a message that nobody need answer' },
					{ name: 'Request', value: 'request', action: 'Send any request', description: 'Send any message and get its answer' },
				],
				default: 'request',
			},
			{
				displayName: 'Operation',
				name: 'operation',
				type: 'options',
				noDataExpression: true,
				displayOptions: { show: { resource: ['model'] } },
				options: [
					{ name: 'Chat', value: 'chat', action: 'Chat with a language model', description: 'Go on with a conversation' },
					{ name: 'Embed', value: 'embed', action: 'Turn text into vectors', description: 'Turn text into vectors' },
					{ name: 'See', value: 'see', action: 'Look at pictures', description: 'Classify or describe pictures, read the text in them' },
					{ name: 'Speak', value: 'speak', action: 'Speak a text', description: 'Turn text into speech' },
					{ name: 'Transcribe', value: 'transcribe', action: 'Transcribe speech', description: 'Turn speech into text' },
				],
				default: 'chat',
			},
			...properties(),
		],
	};

	methods = {
		credentialTest: {
			async canConnect(this: ICredentialTestFunctions, credential: ICredentialsDecrypted): Promise<INodeCredentialTestResult> {
				try {
					const bus = await Bus.connect(credential.data as unknown as BusCredential);
					await bus.nats.close();
					return { status: 'OK', message: 'The bus lets this user in' };
				} catch (error) {
					const { message, advice } = error as Fault;
					return { status: 'Error', message: `${message}. ${advice ?? ''}` };
				}
			},
		},
		loadOptions: {
			async getModels(this: ILoadOptionsFunctions): Promise<INodePropertyOptions[]> {
				const { bus, release } = await borrow(await this.getCredentials<BusCredential & { [key: string]: string }>('megabrainBusApi'));
				try {
					return await modelsOf(bus, this.getCurrentNodeParameter('operation') as string);
				} finally {
					release();
				}
			},
		},
	};

	async execute(this: IExecuteFunctions): Promise<INodeExecutionData[][]> {
		const output: INodeExecutionData[] = [];
		for (let item = 0; item < this.getInputData().length; item++) {
			try {
				const credential = (await this.getCredentials('megabrainBusApi', item)) as unknown as BusCredential;
				const { bus, release } = await borrow(credential);
				try {
					const operation = operations[this.getNodeParameter('operation', item)];
					output.push({ ...(await operation.run(new Task(this, item, bus))), pairedItem: { item } });
				} finally {
					release();
				}
			} catch (error) {
				const failure = nodeError(this.getNode(), error as Error, item);
				if (!this.continueOnFail()) throw failure;
				output.push({
					json: { error: failure.message, ...(error instanceof Fault && { fault: error.toJSON() }) },
					pairedItem: { item },
				});
			}
		}
		return [output];
	}
}
