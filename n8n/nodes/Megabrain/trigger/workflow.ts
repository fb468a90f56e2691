// How does a message become a run of the workflow, and what came of it?

import type { IDataObject, INodeExecutionData, IRun, ITriggerFunctions } from 'n8n-workflow';
import { Fault } from '../../../bus/fault';
import { parsed } from '../task';
import type { Settings } from './settings';

/** What core NATS and JetStream both hand over. */
interface Message {
	subject: string;
	data: Uint8Array;
	headers?: { keys(): string[]; get(name: string): string };
}

/** The item that a workflow begins with. */
export async function toItem(node: ITriggerFunctions, bodyType: Settings['bodyType'], message: Message, more: IDataObject): Promise<INodeExecutionData> {
	const { subject, headers } = message;
	const data = Buffer.from(message.data);
	const json: IDataObject = {
		subject,
		headers: Object.fromEntries((headers?.keys() ?? []).map((name) => [name, headers?.get(name)])),
		...more,
	};
	if (bodyType === 'binary') {
		const mime = headers?.get('Content-Type') || undefined;
		return { json, binary: { data: await node.helpers.prepareBinaryData(data, undefined, mime) } };
	}
	return { json: { ...json, body: (parsed(data) ?? data.toString()) as IDataObject } };
}

/** Runs the workflow, and gives the last item of its last node. @throws {Fault} if it failed or took too long */
export async function runWorkflow(
	node: ITriggerFunctions,
	item: INodeExecutionData,
	limitMs: number,
): Promise<INodeExecutionData | undefined> {
	const done = node.helpers.createDeferredPromise<IRun>();
	let timer: NodeJS.Timeout | undefined;
	const late = new Promise<never>((_, reject) => {
		const fault = new Fault('deadline_exceeded', `the workflow did not end within ${limitMs} ms`);
		timer = setTimeout(() => reject(fault), limitMs);
	});
	try {
		node.emit([[item]], undefined, done);
		return lastItem(await Promise.race([done.promise.catch(refused), late]));
	} finally {
		clearTimeout(timer);
	}
}

/** n8n found the workflow unfit to run, and keeps what is wrong with it in its list. */
function refused(error: Error): never {
	throw new Fault('engine', `n8n did not run the workflow (${error.message}): see its executions`);
}

function lastItem(run: IRun): INodeExecutionData | undefined {
	const { error, lastNodeExecuted, runData } = run.data.resultData;
	if (error) throw new Fault('engine', `the workflow failed: ${error.message}`);
	if (run.status === 'canceled') throw new Fault('cancelled', 'the workflow was stopped');
	const outputs = runData[lastNodeExecuted ?? '']?.at(-1)?.data?.main ?? [];
	return outputs.flatMap((items) => items ?? []).at(-1);
}
