// Do the workflows and the nodes work in a real n8n, with a real brain, over a real bus?

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { Brain } from '../brain.mts';
import { BusServer, freePort, ROOT } from '../bus.mts';
import { N8n } from './n8n.mts';

/** How long the bus is away. */
const OUTAGE_MS = Number(process.env.OUTAGE_SECONDS || 120) * 1000;

let server: BusServer;
let brain: Brain;
let n8n: N8n;
let person: NatsConnection;
before(async () => {
	server = await BusServer.start();
	brain = await Brain.starter(server);
	n8n = await N8n.start(server, brain.gateway);
	person = await server.enter('client');
});
after(async () => {
	await n8n?.stop();
	await brain?.stop();
	await server?.stop();
});

const media = (name: string) => readFileSync(join(ROOT, 'tests/media', name));

/** Asks a workflow that listens on the bus, as anybody would. */
async function ask(subject: string, body: object | Uint8Array, timeout = 120_000): Promise<any> {
	return (await untilHeard(subject, body instanceof Uint8Array ? body : JSON.stringify(body), timeout)).json();
}

/** A workflow listens a moment after n8n has started. */
async function untilHeard(subject: string, payload: string | Uint8Array, timeout: number) {
	const until = Date.now() + 20_000;
	for (;;) {
		try {
			return await person.request(subject, payload, { timeout });
		} catch (error) {
			if (!/no responders/.test(String(error)) || Date.now() > until) throw error;
			await sleep(200);
		}
	}
}

async function posted(path: string, body: Uint8Array | object, type?: string): Promise<any> {
	const answer = await n8n.post(path, body, type);
	const text = await answer.text();
	assert.equal(answer.status, 200, text);
	return JSON.parse(text);
}

// The example workflows.

test('voice memo: what is said, and a summary of it', async () => {
	const { transcript, summary, seconds } = await posted('voice-memo', media('question.wav'), 'audio/wav');
	assert.match(transcript, /capital of France/i);
	assert(summary.length > 0);
	assert(seconds > 4 && seconds < 9, `${seconds} seconds`);
});

test('voice memo: one that is too large for a message goes by reference', async () => {
	const memo = longer(media('question.wav'), 12 * 1024 * 1024);
	const { transcript } = await posted('voice-memo', memo, 'audio/wav');
	assert.match(transcript, /capital of France/i);
});

test('image triage: a sign is a document, and is read', async () => {
	const answer = await posted('image-triage', media('sign.png'), 'image/png');
	assert.equal(answer.kind, 'document');
	assert.match(answer.text.replaceAll(' ', ''), /BERTH42/);
});

test('image triage: a cat is a photo, and is told', async () => {
	const answer = await posted('image-triage', media('cat.jpg'), 'image/jpeg');
	assert.equal(answer.kind, 'photo');
	assert.match(answer.label, /cat|tabby|mau/i);
	assert(answer.score > 0.1);
});

test('video digest: what is seen and heard, on one clock', async () => {
	const { digest, timeline } = await posted('video-digest', media('film.mp4'), 'video/mp4');
	assert(digest.length > 0);
	const found = (modality: string, what: RegExp) => timeline.find((each: any) => each.modality === modality && what.test(each.text));
	assert(found('audio', /blue umbrella/i).seconds > 10);
	assert(found('image', /cat|mau/i).seconds < 10);
});

test('NATS trigger: who asks over the bus gets the last item', async () => {
	const { text, model } = await ask('user.n8n.ask', { text: 'Name a colour.' });
	assert(text.length > 0);
	assert.match(model, /^(deep|fast)$/);
});

test('durable job: handed in, waited for, called back', async () => {
	const results = person.subscribe('user.n8n.jobs', { max: 1, timeout: 120_000 });
	await person.flush();
	assert.equal((await n8n.post('durable-job', { text: 'Name a colour.' })).status, 200);
	for await (const result of results) {
		const { status, result: answer } = result.json<{ status: string; result: { text: string } }>();
		assert.equal(status, 'succeeded');
		assert(answer.text.length > 0);
	}
});

test('AI Agent: answers by a model of the brain', async () => {
	const { output } = await posted('ai-agent', { text: 'Name a colour.' });
	assert(output.length > 0);
});

// The node's operations.

test('chat and embed', async () => {
	const { said, vectors, dimensions } = await ask('user.test.chat', { text: 'What is the capital of France?' });
	assert.match(said, /paris/i);
	assert.deepEqual([vectors, dimensions], [2, 384]);
});

test('speak: a sound file', async () => {
	const answer = await n8n.post('test-speak', { text: 'Berth 42 is yours.' });
	assert.equal(answer.headers.get('content-type'), 'audio/flac');
	assert.equal(Buffer.from(await answer.arrayBuffer()).subarray(0, 4).toString(), 'fLaC');
});

test('media is stored, and fetched as it was', async () => {
	const bytes = randomBytes(20 * 1024 * 1024);
	const answer = await n8n.post('test-media', bytes, 'application/octet-stream');
	assert.equal(answer.headers.get('content-type'), 'application/x-test');
	assert(Buffer.from(await answer.arrayBuffer()).equals(bytes));
});

test('a binary message becomes a binary field', async () => {
	const { text, segments } = await ask('user.test.binary', media('question.mp3'));
	assert.match(text, /capital of France/i);
	assert(segments[0].words.length > 0);
});

test('any request gets its answer', async () => {
	const answer = await ask('user.test.request', { subject: 'mb.v1.echo', body: { text: 'ahoy' } });
	assert.equal(answer.text, 'ahoy');
});

test('another node takes over: a workflow may ask a workflow', async () => {
	const answer = await ask('user.test.request', { subject: 'user.test.request', body: { subject: 'mb.v1.echo', body: { text: 'deep' } } });
	assert.equal(answer.text, 'deep');
});

test('a fault fails the workflow, and who asked is told its kind', async () => {
	const { error } = await ask('user.test.request', { subject: 'mb.v1.chat.nobody', body: { messages: [{ role: 'user', content: '?' }] } });
	assert.equal(error.kind, 'engine');
	assert.match(error.message, /not_found.*nobody/);
});

test('nobody there fails the workflow, and says so', async () => {
	const { error } = await ask('user.test.request', { subject: 'user.nobody', body: {} });
	assert.match(error.message, /unavailable.*nobody listens to user\.nobody/);
});

test('a time-out is told to the brain, and kept', async () => {
	const { error } = await ask('user.test.request', { subject: 'mb.v1.echo', body: { text: '?', delay_ms: 30_000 }, timeout: 0.5 }, 10_000);
	assert.match(error.message, /deadline_exceeded/);
});

test('a workflow that takes too long is answered for', async () => {
	const { error } = await ask('user.test.slow', { subject: 'mb.v1.echo', body: { text: '?', delay_ms: 6_000 } });
	assert.equal(error.kind, 'deadline_exceeded');
});

test('with "continue on fail", a fault is an item beside the others', async () => {
	const requests = [
		{ subject: 'mb.v1.echo.nobody', body: { text: '?' } },
		{ subject: 'mb.v1.echo', body: { text: 'ahoy' } },
	];
	const { items } = await ask('user.test.continue', { requests });
	assert.match(items[0].error, /^not_found: /);
	assert.equal(items[0].fault.kind, 'not_found');
	assert.equal(items[1].text, 'ahoy');
});

test('twenty at the same time are all answered', async () => {
	const answers = await Promise.all(
		Array.from({ length: 20 }, (_, number) => ask('user.test.request', { subject: 'mb.v1.echo', body: { text: `n${number}`, delay_ms: 500 } })),
	);
	assert.deepEqual(answers.map(({ text }) => text), Array.from({ length: 20 }, (_, number) => `n${number}`));
});

test('an agent may use it as a tool', async () => {
	const mcp = async (id: number, method: string, params: object, session?: string) => {
		const answer = await fetch(`http://127.0.0.1:${n8n.port}/mcp/test-tool`, {
			method: 'POST',
			headers: {
				'Content-Type': 'application/json',
				Accept: 'application/json, text/event-stream',
				...(session && { 'Mcp-Session-Id': session }),
			},
			body: JSON.stringify({ jsonrpc: '2.0', id, method, params }),
			signal: AbortSignal.timeout(120_000),
		});
		const text = await answer.text();
		assert(answer.ok, text);
		return { answer, result: JSON.parse(/^data: (.*)$/m.exec(text)?.[1] ?? text).result };
	};
	const client = { protocolVersion: '2025-03-26', capabilities: {}, clientInfo: { name: 'test', version: '1' } };
	const session = (await mcp(1, 'initialize', client)).answer.headers.get('mcp-session-id') ?? undefined;
	const { tools } = (await mcp(2, 'tools/list', {}, session)).result;
	assert.equal(tools.length, 1);
	assert(tools[0].inputSchema.properties.question);
	const { content } = (await mcp(3, 'tools/call', { name: tools[0].name, arguments: { question: 'Name a colour.' } }, session)).result;
	assert.match(content[0].text, /"model":"(deep|fast)"/);
});

// The credential.

const credential = (data: object) => ({ credentials: { id: '', name: 'test', type: 'megabrainBusApi', data } });

test('the test of a credential that is right passes', async () => {
	const { status } = await n8n.rest('credentials/test', credential(server.credential('client')));
	assert.equal(status, 'OK');
});

test('the test of a credential with a wrong password fails, and says why', async () => {
	const { status, message } = await n8n.rest('credentials/test', credential({ ...server.credential('client'), password: 'wrong' }));
	assert.equal(status, 'Error');
	assert.match(message, /does not let this user in/);
});

test('the test of a credential without a bus fails, and says where it looked', async () => {
	const url = `nats://127.0.0.1:${await freePort()}`;
	const { status, message } = await n8n.rest('credentials/test', credential({ url, authentication: 'none' }));
	assert.equal(status, 'Error');
	assert(message.includes(url), message);
});

test('models are listed for the operation', async () => {
	const models = await n8n.rest('dynamic-node-parameters/options', {
		path: 'parameters.model',
		methodName: 'getModels',
		nodeTypeAndVersion: { name: 'n8n-nodes-megabrain.megabrain', version: 1 },
		currentNodeParameters: { resource: 'model', operation: 'chat' },
		credentials: { megabrainBusApi: { id: 'megabrainBus', name: 'Megabrain bus' } },
	});
	assert.deepEqual(models.map(({ value }: { value: string }) => value), ['', 'deep', 'fast']);
});

// The durable trigger.

/** Everything that the durable workflow says on `user.done`. */
async function done() {
	const said: { text: string; delivery: number }[] = [];
	const subscription = person.subscribe('user.done', { callback: (_, message) => void said.push(message.json()) });
	await person.flush();
	const until = async (count: number, withinMs: number) => {
		const end = Date.now() + withinMs;
		while (said.length < count && Date.now() < end) await sleep(100);
		// Nothing that was done is done again.
		await sleep(2_000);
		subscription.unsubscribe();
		return said.toSorted((a, b) => a.text.localeCompare(b.text));
	};
	return { until };
}

/** Puts a message into the stream: the server has it when it answers. */
async function store(body: object) {
	const { seq } = (await untilHeard('user.durable.test', JSON.stringify(body), 5_000)).json<{ seq?: number }>();
	assert(seq, 'the stream did not take the message');
}

/** What the server still has to deliver, or has not been told to be done. */
async function open(): Promise<number> {
	const admin = await server.enter('admin');
	const answer = await admin.request('$JS.API.CONSUMER.INFO.user.n8n-test');
	const { num_pending, num_ack_pending } = answer.json<{ num_pending: number; num_ack_pending: number }>();
	return num_pending + num_ack_pending;
}

test('durable: a message is worked on once, and done', async () => {
	const news = await done();
	await store({ text: 'once' });
	assert.deepEqual(await news.until(1, 20_000), [{ text: 'once', delivery: 1 }]);
	assert.equal(await open(), 0);
});

test('durable: a message whose workflow failed is delivered again until it succeeds', async () => {
	const news = await done();
	await store({ text: 'thrice', succeed_at: 3 });
	assert.deepEqual(await news.until(1, 30_000), [{ text: 'thrice', delivery: 3 }]);
	assert.equal(await open(), 0);
});

test('durable: what came while n8n was dead is worked on when it lives again', async () => {
	await n8n.kill();
	await store({ text: 'a' });
	await store({ text: 'b' });
	const news = await done();
	await n8n.up();
	assert.deepEqual((await news.until(2, 60_000)).map(({ text }) => text), ['a', 'b']);
	assert.equal(await open(), 0);
});

// The outage.

test(`after an outage of ${OUTAGE_MS / 1000} s, everything goes on`, async () => {
	await server.kill();
	const during = n8n.post('test-speak', { text: 'Asked while the bus is away.' });
	await sleep(OUTAGE_MS);
	const back = Date.now();
	await server.up();
	let answer: any;
	// Nobody listens until n8n and the brain have found the server again.
	while (answer?.text !== 'again') {
		assert(Date.now() - back < 30_000, `the trigger was not back: ${JSON.stringify(answer)}`);
		answer = await ask('user.test.request', { subject: 'mb.v1.echo', body: { text: 'again' } }, 10_000).catch((error) => String(error));
		if (answer?.text !== 'again') await sleep(200);
	}
	const asked = await during;
	assert.equal(asked.status, 200, `asked during the outage: ${await asked.text()}`);
	const news = await done();
	await store({ text: 'after' });
	assert.deepEqual(await news.until(1, 30_000), [{ text: 'after', delivery: 1 }]);
});

/** A sound of 16-bit samples, repeated until it is so large. */
function longer(wav: Buffer, size: number): Buffer {
	const samples = wav.subarray(44);
	const times = Math.ceil(size / samples.length);
	const header = Buffer.from(wav.subarray(0, 44));
	assert.equal(header.subarray(36, 40).toString(), 'data');
	header.writeUInt32LE(36 + samples.length * times, 4);
	header.writeUInt32LE(samples.length * times, 40);
	return Buffer.concat([header, ...Array.from({ length: times }, () => samples)]);
}
