// Is a connection shared, closed when unused, and found again after an outage?

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerOf } from '../dist/bus/answer.js';
import { Bus } from '../dist/bus/bus.js';
import type { BusCredential } from '../dist/bus/credential.js';
import { borrow as borrowFor, borrowPatiently } from '../dist/bus/shared.js';
import { BusServer, freePort } from './bus.mts';

let server: BusServer;
before(async () => {
	server = await BusServer.start();
});
after(async () => await server.stop());

/** So that what is given back is closed before the test's process ends. */
const borrow = async (credential: BusCredential, idleMs = 50) => await borrowFor(credential, idleMs);
const asked = { deadlineMs: 5_000, work: 'w1' };

test('who borrows the same credential shares a connection', async () => {
	const [one, two] = await Promise.all([borrow(server.credential('client')), borrow(server.credential('client'))]);
	assert.equal(one.bus, two.bus);
	one.release();
	two.release();
});

test('another credential is another connection', async () => {
	const one = await borrow(server.credential('client'));
	const two = await borrow({ ...server.credential('client'), inboxPrefix: '_INBOX.n8n' });
	assert.notEqual(one.bus, two.bus);
	one.release();
	two.release();
});

test('a connection that nobody uses is closed, and opened again for the next', async () => {
	const credential = { ...server.credential('client'), inboxPrefix: '_INBOX.closing' };
	const first = await borrow(credential, 10);
	first.release();
	first.release();
	await first.bus.nats.closed();
	const next = await borrow(credential);
	assert.notEqual(next.bus, first.bus);
	await next.bus.nats.flush();
	next.release();
});

test('a connection that somebody uses is kept', async () => {
	const credential = { ...server.credential('client'), inboxPrefix: '_INBOX.kept' };
	const [one, two] = await Promise.all([borrow(credential, 10), borrow(credential, 10)]);
	one.release();
	await sleep(100);
	assert.equal(two.bus.nats.isClosed(), false);
	two.release();
});

test('a wrong password is unauthorized, and not tried again', async () => {
	const wrong = { ...server.credential('client'), password: 'wrong' };
	await assert.rejects(borrow(wrong), { kind: 'unauthorized' });
	await assert.rejects(borrowPatiently(wrong, AbortSignal.timeout(10_000)), { kind: 'unauthorized' });
});

test('no server is unavailable, and the fault names the address', async () => {
	const url = `nats://127.0.0.1:${await freePort()}`;
	await assert.rejects(borrow({ url, authentication: 'none' }), { kind: 'unavailable', message: new RegExp(url) });
});

test('an answer comes over an inbox with the prefix of the credential', async () => {
	const person = await server.enter('client');
	const asks = person.subscribe('user.prefix', { max: 1 });
	await person.flush();
	const bus = await Bus.connect({ ...server.credential('admin'), inboxPrefix: '_INBOX.mine' });
	const answer = bus.request('user.prefix', Buffer.from('?'), { ...asked, deadlineMs: 500 });
	answer.catch(() => {});
	for await (const message of asks) assert.match(message.reply ?? '', /^_INBOX\.mine\./);
	await bus.nats.close();
});

test('a server that is killed and started again is found again, and so are the subscriptions', async () => {
	const own = await BusServer.start();
	const { bus, release } = await borrow(own.credential('n8n'));
	const heard = bus.nats.subscribe('user.again', { callback: (_, message) => void message.respond('here') });
	await own.kill();
	await sleep(1_500);
	// Asked while the bus is away: sent when it is back, within the deadline.
	const waiting = bus.request('user.again', Buffer.from('?'), { deadlineMs: 20_000, work: 'w2' });
	await sleep(500);
	await own.up();
	assert.equal(Buffer.from((await waiting).data).toString(), 'here');
	heard.unsubscribe();
	release();
	await bus.nats.close();
	await own.stop();
});

test('after an outage, who comes back later than oneself still answers', async () => {
	const own = await BusServer.start();
	const { bus, release } = await borrow(own.credential('client'));
	await own.kill();
	await sleep(100);
	const waiting = answerOf(bus, 'user.later', Buffer.from('?'), { deadlineMs: 20_000, work: 'w4' });
	await own.up();
	await bus.untilConnected(10_000);
	await sleep(1_000);
	const late = await own.enter('admin');
	late.subscribe('user.later', { callback: (_, message) => void message.respond('late') });
	assert.equal(Buffer.from((await waiting).data).toString(), 'late');
	release();
	await own.stop();
});

test('what was asked before an outage is asked again of the brain, and waited for of anybody else', async () => {
	const own = await BusServer.start();
	const { bus, release } = await borrow(own.credential('client'));
	const other = await own.enter('admin');
	let asks = 0;
	// The first time, whoever has it forgets it over the outage.
	other.subscribe('mb.v1.echo', { callback: (_, message) => void (++asks > 1 && message.respond('again')) });
	other.subscribe('user.slow', { callback: (_, message) => void sleep(9_000).then(() => message.respond('at last')) });
	await other.flush();
	const began = Date.now();
	const brain = answerOf(bus, 'mb.v1.echo', Buffer.from('{}'), { deadlineMs: 60_000, work: 'w5' });
	const somebody = answerOf(bus, 'user.slow', Buffer.from('?'), { deadlineMs: 60_000, work: 'w6' });
	while (asks === 0) await sleep(20);
	await own.kill();
	await own.up();
	assert.equal(Buffer.from((await brain).data).toString(), 'again');
	assert.equal(Buffer.from((await somebody).data).toString(), 'at last');
	assert(Date.now() - began < 20_000, `it took ${Date.now() - began} ms`);
	release();
	await own.stop();
});

test('without an outage, nobody there is not waited for', async () => {
	const { bus, release } = await borrow(server.credential('client'));
	const began = Date.now();
	await assert.rejects(answerOf(bus, 'user.nobody', Buffer.from('?'), asked), { kind: 'unavailable' });
	assert(Date.now() - began < 400);
	release();
});

test('a bus that stays away is unavailable when the time is up', async () => {
	const own = await BusServer.start();
	const { bus } = await borrow(own.credential('client'));
	await own.kill();
	await sleep(100);
	const began = Date.now();
	await assert.rejects(bus.request('mb.v1.echo', Buffer.from('{}'), { deadlineMs: 1_000, work: 'w3' }), {
		kind: 'unavailable',
		message: /away/,
	});
	assert(Date.now() - began < 3_000);
	await bus.nats.close();
	await own.stop();
});
