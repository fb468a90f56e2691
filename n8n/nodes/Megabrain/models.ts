// Which models are there, and what can they do? They say so themselves, by NATS' own micro-service protocol.

import type { INodePropertyOptions } from 'n8n-workflow';
import type { Bus } from '../../bus/bus';

interface ServiceInfo {
	name: string;
	metadata?: { actor?: string; device?: string; capabilities?: string };
}

/** The models that serve a capability, by name, after the choice to leave it to the router. */
export async function modelsOf(bus: Bus, capability: string): Promise<INodePropertyOptions[]> {
	const found = new Map<string, INodePropertyOptions>();
	for await (const answer of await bus.nats.requestMany('$SRV.INFO', '', { strategy: 'stall', maxWait: 2_000 })) {
		const { name, metadata } = answer.json<ServiceInfo>();
		if (!metadata?.capabilities?.split(',').includes(capability)) continue;
		found.set(name, { name, value: name, description: `${metadata.actor} on ${metadata.device || 'this machine'}` });
	}
	const models = [...found.values()].sort((a, b) => a.name.localeCompare(b.name));
	return [{ name: 'Whichever the Brain Picks', value: '' }, ...models];
}
