// Does a request get the brain's one answer, or a fault that says what went wrong?

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Bus, type RequestOptions } from '../dist/bus/bus.js';
import { Fault } from '../dist/bus/fault.js';
import { Brain } from './brain.mts';
import { BusServer } from './bus.mts';

let server: BusServer;
let brain: Brain;
let bus: Bus;
before(async () => {
	server = await BusServer.start();
	brain = await Brain.echo(server);
	bus = await Bus.connect(server.credential('client'));
});
after(async () => {
	await bus?.nats.close();
	await brain?.stop();
	await server?.stop();
});

async function ask(subject: string, body: object, options: Partial<RequestOptions> = {}) {
	const message = await bus.request(subject, Buffer.from(JSON.stringify(body)), {
		deadlineMs: 30_000,
		work: randomUUID(),
		...options,
	});
	return JSON.parse(Buffer.from(message.data).toString());
}

test('an answer is the brain\'s', async () => {
	assert.equal((await ask('mb.v1.echo', { text: 'ahoy' })).text, 'ahoy');
});

test('the work has the id that it was given', async () => {
	assert.equal((await ask('mb.v1.echo', { text: 'ahoy' }, { work: 'mine' })).work, 'mine');
});

test("a fault is the brain's, with its kind", async () => {
	const fault = Fault.of(await ask('mb.v1.chat.nobody', { messages: [] }));
	assert.equal(fault?.kind, 'not_found');
	assert.match(fault?.message ?? '', /nobody/);
});

test('an answer that is no fault is none', async () => {
	assert.equal(Fault.of(await ask('mb.v1.echo', { text: 'ahoy' })), undefined);
	for (const other of [undefined, null, 'error', { error: 'text' }, { error: { kind: 'unheard_of' } }]) assert.equal(Fault.of(other), undefined);
});

test('nobody there is unavailable at once, and says so', async () => {
	await assert.rejects(ask('user.nobody', {}), { kind: 'unavailable', message: /nobody listens to user\.nobody/ });
});

test('the brain is told the deadline, and keeps it', async () => {
	const fault = Fault.of(await ask('mb.v1.echo', { text: 'late', delay_ms: 20_000 }, { deadlineMs: 500 }));
	assert.equal(fault?.kind, 'deadline_exceeded');
});

test('who never answers is given up', async () => {
	const person = await server.enter('client');
	person.subscribe('user.silent');
	await person.flush();
	const began = Date.now();
	await assert.rejects(ask('user.silent', {}, { deadlineMs: 300 }), { kind: 'deadline_exceeded' });
	assert(Date.now() - began >= 300);
});

test('a message that is too large is refused before it is sent, naming both sizes', async () => {
	const size = 9 * 1024 * 1024;
	await assert.rejects(bus.request('mb.v1.echo', Buffer.alloc(size), { deadlineMs: 1_000, work: 'w' }), {
		kind: 'too_large',
		message: new RegExp(`${size} bytes.*${8 * 1024 * 1024}`),
	});
});

test('a subject without the right is unauthorized, at once', async () => {
	const began = Date.now();
	await assert.rejects(ask('mb.v1.event.presence.me', {}), { kind: 'unauthorized', message: /mb\.v1\.event\.presence\.me/ });
	await assert.rejects(bus.publish('elsewhere', Buffer.from('{}'), 5_000), { kind: 'unauthorized', message: /elsewhere/ });
	assert(Date.now() - began < 3_000);
});

test('a subject that is none is an invalid request', async () => {
	for (const subject of ['', 'user. .x']) await assert.rejects(ask(subject, {}), { kind: 'invalid_request' });
});

test('a published message is there', async () => {
	const person = await server.enter('client');
	const heard = person.subscribe('user.news', { max: 1 });
	await person.flush();
	await bus.publish('user.news', Buffer.from('{"a":1}'), 5_000, { Lang: 'en' });
	for await (const message of heard) {
		assert.deepEqual(message.json(), { a: 1 });
		assert.equal(message.headers?.get('Lang'), 'en');
	}
});

test('a workflow that was stopped already asks nothing', async () => {
	await assert.rejects(ask('user.nobody', {}, { signal: AbortSignal.abort() }), { kind: 'cancelled' });
});

test('a workflow that is stopped stops the work in the brain', async () => {
	const admin = await server.enter('admin');
	const cancels = admin.subscribe('mb.v1.cancel.stopped', { max: 1 });
	await admin.flush();
	const stop = new AbortController();
	const answer = ask('mb.v1.echo.narrow', { text: 'slow', delay_ms: 25_000 }, { work: 'stopped', signal: stop.signal });
	await sleep(300);
	stop.abort();
	await assert.rejects(answer, { kind: 'cancelled' });
	for await (const message of cancels) assert.equal(message.subject, 'mb.v1.cancel.stopped');
	// The one slot is free again.
	assert.equal((await ask('mb.v1.echo.narrow', { text: 'next' }, { deadlineMs: 5_000 })).text, 'next');
});
