// Does large media get into the brain's store and out again, by the rules that the brain itself keeps?

import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { jetstream } from '@nats-io/jetstream';
import { type ObjectStore, Objm } from '@nats-io/obj';
import { blobOf, getBlob, putBlob } from '../dist/bus/blobs.js';
import { Bus } from '../dist/bus/bus.js';
import { Brain } from './brain.mts';
import { BusServer } from './bus.mts';

let server: BusServer;
let brain: Brain;
let bus: Bus;
let store: ObjectStore;
before(async () => {
	server = await BusServer.start();
	brain = await Brain.echo(server);
	bus = await Bus.connect(server.credential('client'));
	store = await new Objm(jetstream(await server.enter('admin'))).open('mb_blobs');
});
after(async () => {
	await bus?.nats.close();
	await brain?.stop();
	await server?.stop();
});

const nameOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

test('a reference is the hash of the bytes', () => {
	assert.equal(blobOf(Buffer.from('')), 'blob:sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
});

for (const size of [1, 128 * 1024, 128 * 1024 + 1, 20 * 1024 * 1024])
	test(`${size} bytes come back as they were`, async () => {
		const bytes = randomBytes(size);
		assert((await getBlob(bus, await putBlob(bus, bytes))).equals(bytes));
	});

test('the brain reads what was stored here', async () => {
	const blob = await putBlob(bus, Buffer.from('{"text":"by reference"}'));
	const request = { attachments: [{ mime: 'application/x-megabrain-echo', blob }], models: [] };
	const answer = await bus.request('mb.v1.ask', Buffer.from(JSON.stringify(request)), { deadlineMs: 30_000, work: randomUUID() });
	const said = JSON.parse(Buffer.from(answer.data).toString());
	assert.match(JSON.stringify(said), /by reference/);
});

test('what another client stored is read here', async () => {
	const bytes = randomBytes(300_000);
	await store.putBlob({ name: nameOf(bytes) }, bytes);
	assert((await getBlob(bus, blobOf(bytes))).equals(bytes));
});

test('the same bytes are stored once', async () => {
	const bytes = randomBytes(1_000);
	const blob = await putBlob(bus, bytes);
	const before = await store.info(nameOf(bytes));
	assert.equal(await putBlob(bus, bytes), blob);
	assert.equal((await store.info(nameOf(bytes)))?.nuid, before?.nuid);
});

test('other bytes under the name are replaced', async () => {
	const bytes = randomBytes(1_000);
	await store.putBlob({ name: nameOf(bytes) }, randomBytes(1_000));
	await assert.rejects(getBlob(bus, blobOf(bytes)), { kind: 'engine', message: /not what their name says/ });
	assert((await getBlob(bus, await putBlob(bus, bytes))).equals(bytes));
});

test('what is not there is not found', async () => {
	await assert.rejects(getBlob(bus, blobOf(randomBytes(8))), { kind: 'not_found' });
});

test('what was deleted is not found', async () => {
	const bytes = randomBytes(1_000);
	const blob = await putBlob(bus, bytes);
	await store.delete(nameOf(bytes));
	await assert.rejects(getBlob(bus, blob), { kind: 'not_found' });
});

test('a link is not followed', async () => {
	const bytes = randomBytes(1_000);
	await putBlob(bus, bytes);
	const other = randomBytes(1_000);
	await store.link(nameOf(other), (await store.info(nameOf(bytes)))!);
	await assert.rejects(getBlob(bus, blobOf(other)), { kind: 'not_found' });
});

test('what lacks pieces is told of, not waited for', async () => {
	const bytes = randomBytes(400_000);
	const blob = await putBlob(bus, bytes);
	const admin = await server.enter('admin');
	const { nuid } = (await store.info(nameOf(bytes)))!;
	const purged = await admin.request('$JS.API.STREAM.PURGE.OBJ_mb_blobs', JSON.stringify({ filter: `$O.mb_blobs.C.${nuid}` }));
	assert.equal(purged.json<{ purged: number }>().purged, 4);
	await assert.rejects(getBlob(bus, blob), { kind: 'unavailable' });
});

test('a full bucket is overloaded, with both sizes', async () => {
	await assert.rejects(putBlob(bus, randomBytes(65 * 1024 * 1024)), { kind: 'overloaded', message: /bytes used/ });
});

test('what is no reference is an invalid request', async () => {
	for (const text of ['', 'blob:sha256:abc', `blob:sha256:${'A'.repeat(64)}`]) await assert.rejects(getBlob(bus, text), { kind: 'invalid_request' });
});
