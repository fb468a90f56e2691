// What does an operation get to do its work with? One item, its parameters and binary fields, and the bus.

import { randomUUID } from 'node:crypto';
import type { IDataObject, IExecuteFunctions, INodeExecutionData } from 'n8n-workflow';
import { answerOf } from '../../bus/answer';
import { putBlob } from '../../bus/blobs';
import type { Bus } from '../../bus/bus';

/** One piece of media in a message, inline or by reference. */
export type Media = { mime?: string; data: string } | { mime?: string; blob: string };

/** One item of the input on its way through one operation. */
export class Task {
	constructor(
		private readonly node: IExecuteFunctions,
		private readonly item: number,
		readonly bus: Bus,
	) {}

	parameter<T>(name: string): T {
		return this.node.getNodeParameter(name, this.item) as T;
	}

	/** What a person chose to set beside the time-out, without what was left empty. */
	get options(): IDataObject {
		const chosen = Object.entries(this.node.getNodeParameter('options', this.item, {}) as IDataObject);
		return Object.fromEntries(chosen.filter(([name, value]) => name !== 'timeout' && value !== ''));
	}

	get deadlineMs(): number {
		const { timeout = 600 } = this.node.getNodeParameter('options', this.item, {}) as { timeout?: number };
		return Math.round(timeout * 1000);
	}

	/** Where a capability is asked for: of the model that is chosen, or of whichever the router picks. */
	subject(capability: string): string {
		const model = this.parameter<string>('model');
		return model ? `mb.v1.${capability}.${model}` : `mb.v1.${capability}`;
	}

	/** Sends a request in JSON, and gives its answer. @throws {Fault} what the answer says, if it is a fault */
	async ask(subject: string, body: IDataObject): Promise<IDataObject> {
		const answer = await this.request(subject, Buffer.from(JSON.stringify(body)), { 'Content-Type': 'application/json' });
		return JSON.parse(answer.data.toString()) as IDataObject;
	}

	/** Sends any bytes, and gives what comes back. @throws {Fault} what the answer says, if it is a fault */
	async request(subject: string, payload: Uint8Array, headers: Record<string, string>) {
		const message = await answerOf(this.bus, subject, payload, {
			deadlineMs: this.deadlineMs,
			work: randomUUID(),
			headers,
			signal: this.node.getExecutionCancelSignal(),
		});
		return { data: Buffer.from(message.data), mime: message.headers?.get('Content-Type') };
	}

	/** The named binary fields of the item: inline what there is room for, the rest by reference. @throws {Fault} */
	async media(fields: string): Promise<Media[]> {
		// Half of the largest message: a leg of it carries the same again, and what a model wraps around it.
		let room = (this.bus.nats.info?.max_payload ?? 0) / 2;
		const media: Media[] = [];
		for (const field of names(fields)) {
			const { mimeType: mime } = this.node.helpers.assertBinaryData(this.item, field);
			const bytes = await this.node.helpers.getBinaryDataBuffer(this.item, field);
			const inline = Math.ceil(bytes.length / 3) * 4;
			if (inline <= room) {
				room -= inline;
				media.push({ mime, data: bytes.toString('base64') });
			} else {
				media.push({ mime, blob: await putBlob(this.bus, bytes) });
			}
		}
		return media;
	}

	/** Bytes of the one binary field. */
	async bytes(field: string): Promise<Buffer> {
		return await this.node.helpers.getBinaryDataBuffer(this.item, field);
	}

	json(json: IDataObject): INodeExecutionData {
		return { json };
	}

	async binary(json: IDataObject, field: string, bytes: Buffer, name?: string, mime?: string): Promise<INodeExecutionData> {
		return { json, binary: { [field]: await this.node.helpers.prepareBinaryData(bytes, name, mime) } };
	}
}

/** Names that a person wrote with commas between. */
export function names(text: string): string[] {
	return text
		.split(',')
		.map((name) => name.trim())
		.filter((name) => name !== '');
}

/** JSON, or nothing. */
export function parsed(bytes: Buffer): unknown {
	try {
		return JSON.parse(bytes.toString());
	} catch {
		return undefined;
	}
}
