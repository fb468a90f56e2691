// How does large media travel? By the name of its bytes, in the brain's object store. The rules are those of bus/src/blob.rs.

import { createHash } from 'node:crypto';
import type { Bus } from './bus';
import { Fault } from './fault';
import { jetstream, JetStreamApiError, type ObjectInfo, type ObjectStore, Objm } from './nats';

const BUCKET = 'mb_blobs';
const PREFIX = 'blob:sha256:';
const CHUNK = 128 * 1024;
/** So many chunks under way until the server is asked to keep up. */
const AHEAD = 64;
/** The server sends the pieces of an object without being asked; when none comes for this long, none will. */
const STALL_MS = 3_000;
/** Storing must go on at this pace at least: one chunk's acknowledgement, in milliseconds. */
const STORE_MS = 60_000;

export function blobOf(bytes: Uint8Array): string {
	return PREFIX + createHash('sha256').update(bytes).digest('hex');
}

/** The object's name in the bucket. @throws {Fault} `invalid_request` */
function objectName(blob: string): string {
	const name = /^blob:sha256:([0-9a-f]{64})$/.exec(blob)?.[1];
	if (name) return name;
	throw new Fault('invalid_request', `"${blob.slice(0, 100)}" is not a blob reference: expected ${PREFIX} and 64 lower-case hex digits`);
}

/** The bucket that the brain has made. @throws {Fault} `unavailable` */
async function bucket(bus: Bus): Promise<ObjectStore> {
	try {
		return await new Objm(jetstream(bus.nats, { timeout: STORE_MS })).open(BUCKET);
	} catch (error) {
		throw new Fault('unavailable', `the blob store cannot be opened: ${(error as Error).message}`);
	}
}

/**
 * Stores bytes and gives their name. What is there already, in the first half of its life, is not stored again: a second
 * put would purge the pieces under whoever reads them.
 * @throws {Fault} `overloaded` if the bucket is full, `unavailable` if the bus is away
 */
export async function putBlob(bus: Bus, bytes: Uint8Array): Promise<string> {
	const store = await bucket(bus);
	const blob = blobOf(bytes);
	const name = objectName(blob);
	const status = await store.status();
	const known = await store.info(name).catch(() => null);
	if (known && isWhole(known, bytes) && isYoung(known, status.ttl)) return blob;
	try {
		await store.put({ name, options: { max_chunk_size: CHUNK } }, inPieces(bus, bytes), { timeout: STORE_MS });
		return blob;
	} catch (error) {
		const { size, streamInfo } = await store.status().catch(() => status);
		const cap = streamInfo.config.max_bytes;
		if (cap > 0 && size + bytes.length > cap)
			throw new Fault('overloaded', `the blob bucket is full: ${size} of ${cap} bytes used, ${bytes.length} more wanted`, true, 60_000);
		throw new Fault('unavailable', `could not store ${bytes.length} bytes: ${(error as Error).message}`);
	}
}

/** Reads bytes by name, and checks that they are what the name says. @throws {Fault} */
export async function getBlob(bus: Bus, blob: string): Promise<Buffer> {
	const name = objectName(blob);
	const store = await bucket(bus);
	const info = await within(store.info(name).catch(absent), blob);
	// A link leads to other bytes than its name says, or to itself.
	if (!info || info.deleted || info.options?.link) throw missing(blob);
	const object = await within(store.get(name).catch(absent), blob);
	if (!object) throw missing(blob);
	object.error.catch(() => {});
	const reader = object.data.getReader();
	const pieces: Uint8Array[] = [];
	try {
		for (;;) {
			const { done, value } = await within(reader.read(), blob);
			if (done) break;
			pieces.push(value);
		}
	} finally {
		void reader.cancel().catch(() => {});
	}
	const bytes = Buffer.concat(pieces);
	if (blobOf(bytes) !== blob) throw new Fault('engine', `the bytes stored as ${blob} are not what their name says: store them again`);
	return bytes;
}

function isWhole(info: ObjectInfo, bytes: Uint8Array): boolean {
	const digest = `SHA-256=${createHash('sha256').update(bytes).digest('base64').replaceAll('+', '-').replaceAll('/', '_')}`;
	return !info.deleted && info.size === bytes.length && info.digest === digest;
}

/** `life` in nanoseconds, 0 for ever. */
function isYoung(info: ObjectInfo, life: number): boolean {
	return life === 0 || Date.now() - Date.parse(info.mtime) < life / 1e6 / 2;
}

function inPieces(bus: Bus, bytes: Uint8Array): ReadableStream<Uint8Array> {
	let at = 0;
	return new ReadableStream({
		async pull(controller) {
			if (at > 0 && (at / CHUNK) % AHEAD === 0) await bus.nats.flush();
			if (at >= bytes.length) return controller.close();
			controller.enqueue(bytes.subarray(at, at + CHUNK));
			at += CHUNK;
		},
	});
}

async function within<T>(promise: Promise<T>, blob: string): Promise<T> {
	let timer: NodeJS.Timeout | undefined;
	const stalled = new Promise<never>((_, reject) => {
		const fault = new Fault('unavailable', `${blob} is not whole, or the bus is away: nothing came of it for ${STALL_MS} ms`);
		timer = setTimeout(() => reject(fault), STALL_MS);
	});
	try {
		return await Promise.race([promise, stalled]);
	} catch (error) {
		if (error instanceof Fault) throw error;
		throw new Fault('unavailable', `${blob} could not be read: ${(error as Error).message}`);
	} finally {
		clearTimeout(timer);
	}
}

function absent(error: Error): null {
	if (error instanceof JetStreamApiError && error.status === 404) return null;
	throw error;
}

function missing(blob: string): Fault {
	return new Fault('not_found', `${blob} is not in the blob store`);
}
