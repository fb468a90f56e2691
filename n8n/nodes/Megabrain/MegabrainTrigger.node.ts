// The node that is asked: a message on the bus starts the workflow.

import { setTimeout as sleep } from 'node:timers/promises';
import {
	type INodeType,
	type INodeTypeDescription,
	type ITriggerFunctions,
	type ITriggerResponse,
	NodeConnectionTypes,
} from 'n8n-workflow';
import type { BusCredential } from '../../bus/credential';
import { borrowPatiently } from '../../bus/shared';
import { nodeError } from './failure';
import { listen } from './trigger/core';
import { consume } from './trigger/durable';
import { readSettings } from './trigger/settings';
import type { Source } from './trigger/source';

/** What is wrong with user or subject shows within this time; a bus that is away is waited for. */
const FIRST_MS = 5_000;

const core = { show: { delivery: ['core'] } };
const durable = { show: { delivery: ['durable'] } };

export class MegabrainTrigger implements INodeType {
	description: INodeTypeDescription = {
		displayName: 'Megabrain Trigger',
		name: 'megabrainTrigger',
		icon: { light: 'file:../../icons/megabrain.svg', dark: 'file:../../icons/megabrain.dark.svg' },
		group: ['trigger'],
		version: 1,
		subtitle: '={{ $parameter["subject"] }}',
		description: 'Starts the workflow when a message comes over the bus, and answers with what comes of it',
		defaults: { name: 'Megabrain Trigger' },
		inputs: [],
		outputs: [NodeConnectionTypes.Main],
		credentials: [{ name: 'megabrainBusApi', required: true, testedBy: 'canConnect' }],
		properties: [
			{
				displayName: 'Delivery',
				name: 'delivery',
				type: 'options',
				options: [
					{ name: 'At Once', value: 'core', description: 'What is sent while nobody listens is lost; who asks is answered' },
					{ name: 'Durable', value: 'durable', description: 'JetStream keeps each message until the workflow has succeeded' },
				],
				default: 'core',
			},
			{
				displayName: 'Subject',
				name: 'subject',
				type: 'string',
				default: '',
				required: true,
				placeholder: 'user.orders.*',
				description: 'What to listen to: <code>*</code> stands for one word, <code>></code> at the end for the rest',
			},
			{
				displayName: 'Queue Group',
				name: 'queue',
				type: 'string',
				default: 'n8n',
				displayOptions: core,
				description: 'Of all who listen with the same group, one gets each message. Empty: every listener gets it.',
			},
			{
				displayName: 'Reply',
				name: 'reply',
				type: 'options',
				options: [
					{ name: 'Nothing', value: 'nothing' },
					{ name: 'The Last Item of the Last Node', value: 'lastItem', description: 'Its JSON; a fault if the workflow failed' },
				],
				default: 'lastItem',
				displayOptions: core,
				description: 'What who asked is answered',
			},
			{
				displayName: 'Stream',
				name: 'stream',
				type: 'string',
				default: '',
				required: true,
				placeholder: 'user',
				displayOptions: durable,
				description: 'The JetStream stream that keeps the messages of this subject',
			},
			{
				displayName: 'Consumer',
				name: 'consumer',
				type: 'string',
				default: 'n8n',
				required: true,
				displayOptions: durable,
				description: 'The name under which the server remembers what this workflow has done',
			},
			{
				displayName: 'Create Stream',
				name: 'createStream',
				type: 'boolean',
				default: false,
				displayOptions: durable,
				description: 'Whether to make the stream, for this subject, if it is not there',
			},
			{
				displayName: 'Body',
				name: 'bodyType',
				type: 'options',
				options: [
					{ name: 'Binary Field', value: 'binary', description: 'Into the field "data"' },
					{ name: 'JSON or Text', value: 'json' },
				],
				default: 'json',
			},
			{
				displayName: 'Options',
				name: 'options',
				type: 'collection',
				placeholder: 'Add option',
				default: {},
				options: [
					{
						displayName: 'At the Same Time',
						name: 'parallel',
						type: 'number',
						typeOptions: { minValue: 1 },
						default: 20,
						description: 'How many runs of the workflow at most; further messages wait',
					},
					{
						displayName: 'Deliveries',
						name: 'maxDeliver',
						type: 'number',
						typeOptions: { minValue: 0 },
						default: 0,
						displayOptions: { show: { '/delivery': ['durable'] } },
						description: 'How often a message is delivered at most, if the workflow fails each time. 0: for ever.',
					},
					{
						displayName: 'Deliver Again After',
						name: 'retryAfter',
						type: 'number',
						typeOptions: { minValue: 0 },
						default: 30,
						displayOptions: { show: { '/delivery': ['durable'] } },
						description: 'Seconds until a message whose workflow failed is delivered again',
					},
					{
						displayName: 'Time Limit',
						name: 'seconds',
						type: 'number',
						typeOptions: { minValue: 1 },
						default: 600,
						description: 'Seconds for one run; then it counts as failed. A shorter deadline of who asks wins.',
					},
				],
			},
		],
	};

	async trigger(this: ITriggerFunctions): Promise<ITriggerResponse> {
		const stop = new AbortController();

		const settings = readSettings(this);
		const credential = (await this.getCredentials('megabrainBusApi')) as unknown as BusCredential;

		const begin = async (): Promise<Source> => {
			const { bus, release } = await borrowPatiently(credential, stop.signal);
			let source: Source | undefined;
			try {
				source = await (settings.delivery === 'durable' ? consume : listen)(this, bus, settings);
				return source;
			} finally {
				// Whoever still answers needs the connection.
				void Promise.allSettled([source?.ended]).then(release);
			}
		};

		const start = async () => {
			let active = false;
			const beginning = begin();
			const listening = beginning.then(async (source) => {
				stop.signal.addEventListener('abort', () => source.stop());
				if (stop.signal.aborted) source.stop();
				await source.ended;
			});
			listening.catch((error: Error) => {
				// Who activates the workflow is told what goes wrong at once; later n8n is, and activates it again.
				if (active && !stop.signal.aborted) this.emitError(nodeError(this.getNode(), error));
			});
			try {
				await Promise.race([beginning, sleep(FIRST_MS, undefined, { ref: false })]);
			} catch (error) {
				throw nodeError(this.getNode(), error as Error);
			}
			active = true;
		};

		const closeFunction = async () => stop.abort();
		// In the editor, n8n is ready for the message only when it calls for it.
		if (this.getMode() === 'manual') return { closeFunction, manualTriggerFunction: start };
		await start();
		return { closeFunction };
	}
}
