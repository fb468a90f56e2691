// How is one request answered once, in time, or by a fault that says why not?

import { EventEmitter, once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { connectionOptions, inboxPrefix, type BusCredential } from './credential';
import { Fault } from './fault';
import { connect, createInbox, errors, headers as newHeaders, type Msg, type NatsConnection } from './nats';

/** The brain's own word at the end of a deadline comes first; this much later, nobody's will. */
const GRACE_MS = 5_000;
/** After an outage others may come back so much later than this connection. */
const SETTLING_MS = 15_000;
/** A server that was started again has forgotten who is to have an answer that was on its way: this late, none will come. */
const LOST_MS = 5_000;
/** Headers take part of a message, too. */
export const HEADERS_ROOM = 4_096;

export interface RequestOptions {
	/** Time for everything, in milliseconds; the brain is told. */
	deadlineMs: number;
	/** Names the work, so that it can be cancelled. */
	work: string;
	headers?: Record<string, string>;
	/** Ends the waiting, and cancels the work. */
	signal?: AbortSignal;
}

/** One connection, with what has become of it. */
export class Bus {
	private connected = true;
	private backAt = -Infinity;
	private readonly news = new EventEmitter().setMaxListeners(0);

	private constructor(
		readonly nats: NatsConnection,
		private readonly inboxPrefix: string,
	) {
		void this.watch();
	}

	/** One try. @throws {Fault} `unauthorized` or `unavailable`. */
	static async connect(credential: BusCredential): Promise<Bus> {
		try {
			return new Bus(await connect(connectionOptions(credential)), inboxPrefix(credential));
		} catch (error) {
			throw connectFault(credential.url, error as Error);
		}
	}

	/** Sends a request and gives its answer, whatever it says. @throws {Fault} */
	async request(subject: string, payload: Uint8Array, options: RequestOptions): Promise<Msg> {
		this.checkSize(payload);
		const end = Date.now() + options.deadlineMs;
		await this.untilConnected(options.deadlineMs, options.signal);
		// A signal that is aborted already tells nobody.
		if (options.signal?.aborted) throw stopped();
		const headers = newHeaders();
		headers.set('Megabrain-Deadline-Ms', String(Math.max(1, end - Date.now())));
		headers.set('Megabrain-Work', options.work);
		for (const [name, value] of Object.entries(options.headers ?? {})) headers.set(name, value);

		const ended = new AbortController();
		const inbox = createInbox(this.inboxPrefix);
		const answer = new Promise<Msg>((resolve, reject) => {
			const subscription = this.nats.subscribe(inbox, {
				callback: (error, message) => {
					if (error) return reject(clientFault(subject, error));
					// Put there by somebody's stream: no answer.
					if (message.subject !== inbox) return;
					if (message.data.length === 0 && message.headers?.code === 503) return reject(nobody(subject));
					resolve(message);
				},
			});
			const onEnd = (act: () => void) => ended.signal.addEventListener('abort', act, { once: true });
			onEnd(() => subscription.unsubscribe());

			const onRefusal = (refused: string) => refused === subject && reject(mayNot('publish to', subject));
			this.news.on('refused', onRefusal);
			onEnd(() => this.news.off('refused', onRefusal));

			const giveUp = (fault: Fault) => {
				this.cancel(subject, options.work);
				reject(fault);
			};
			const timer = setTimeout(() => giveUp(this.late(subject, options.deadlineMs)), end - Date.now() + GRACE_MS);
			onEnd(() => clearTimeout(timer));

			let lost: NodeJS.Timeout | undefined;
			const server = this.nats.info?.server_id;
			// Models give up what they have when their server ends. Of anybody else it is not known.
			const onBack = () => {
				if (!subject.startsWith('mb.v1.') || this.nats.info?.server_id === server) return;
				lost ??= setTimeout(() => giveUp(lostOn(subject)), LOST_MS);
			};
			this.news.on('connected', onBack);
			onEnd(() => (this.news.off('connected', onBack), clearTimeout(lost)));

			const stop = () => giveUp(stopped());
			options.signal?.addEventListener('abort', stop, { once: true });
			onEnd(() => options.signal?.removeEventListener('abort', stop));
		});
		try {
			this.nats.publish(subject, payload, { reply: inbox, headers });
			return await answer;
		} catch (error) {
			throw clientFault(subject, error as Error);
		} finally {
			ended.abort();
		}
	}

	/** Sends a message that nobody answers, and returns when the server has it. @throws {Fault} */
	async publish(subject: string, payload: Uint8Array, timeoutMs: number, headers: Record<string, string> = {}) {
		this.checkSize(payload);
		await this.untilConnected(timeoutMs);
		let refused = false;
		const onRefusal = (other: string) => (refused ||= other === subject);
		this.news.on('refused', onRefusal);
		try {
			const sent = newHeaders();
			for (const [name, value] of Object.entries(headers)) sent.set(name, value);
			this.nats.publish(subject, payload, { headers: sent });
			await this.nats.flush();
			// A refusal came before the flush's answer, and is told in the turn after.
			await nextTurn();
		} catch (error) {
			throw clientFault(subject, error as Error);
		} finally {
			this.news.off('refused', onRefusal);
		}
		if (refused) throw mayNot('publish to', subject);
	}

	/** True shortly after an outage: who is not there may be on the way. */
	get isSettling(): boolean {
		return Date.now() - this.backAt < SETTLING_MS;
	}

	/** Waits for a connection that is down. @throws {Fault} `unavailable` */
	async untilConnected(timeoutMs: number, signal?: AbortSignal): Promise<void> {
		if (this.connected) return;
		const patience = AbortSignal.any([AbortSignal.timeout(timeoutMs), ...(signal ? [signal] : [])]);
		try {
			await once(this.news, 'connected', { signal: patience });
		} catch {
			if (signal?.aborted) throw stopped();
			throw this.late('', timeoutMs);
		}
	}

	private checkSize(payload: Uint8Array) {
		const limit = this.nats.info?.max_payload;
		if (limit === undefined || payload.length + HEADERS_ROOM <= limit) return;
		throw new Fault('too_large', `the message has ${payload.length} bytes, the bus takes ${limit}`);
	}

	private cancel(subject: string, work: string) {
		if (subject.startsWith('mb.v1.')) this.nats.publish(`mb.v1.cancel.${work}`, '{}');
	}

	private late(subject: string, deadlineMs: number): Fault {
		const server = this.nats.getServer();
		return this.connected
			? new Fault('deadline_exceeded', `nothing came from ${subject} within ${deadlineMs} ms`)
			: new Fault('unavailable', `the bus at ${server} has been away for ${deadlineMs} ms`);
	}

	private async watch() {
		for await (const status of this.nats.status()) {
			if (status.type === 'disconnect') this.connected = false;
			if (status.type === 'reconnect') {
				this.connected = true;
				this.backAt = Date.now();
				this.news.emit('connected');
			}
			if (status.type === 'error' && status.error instanceof errors.PermissionViolationError)
				this.news.emit('refused', status.error.subject);
		}
	}
}

function stopped(): Fault {
	return new Fault('cancelled', 'the workflow was stopped');
}

function nobody(subject: string): Fault {
	return new Fault(
		'unavailable',
		subject.startsWith('mb.v1.')
			? `nobody listens to ${subject} on this bus: no brain is running there, or it is still starting`
			: `nobody listens to ${subject} on this bus`,
	);
}

function lostOn(subject: string): Fault {
	return new Fault('unavailable', `the bus ended while ${subject} was asked, and no answer came since it is back`);
}

export function mayNot(verb: string, subject: string): Fault {
	return new Fault('unauthorized', `this user may not ${verb} ${subject}`);
}

/** What the client library says, in the words of the contract. */
function clientFault(subject: string, error: Error): Fault {
	if (error instanceof Fault) return error;
	if (error instanceof errors.PermissionViolationError) return mayNot(error.operation === 'publish' ? 'publish to' : 'subscribe to', error.subject);
	if (error instanceof errors.InvalidSubjectError || error instanceof errors.InvalidArgumentError)
		return new Fault('invalid_request', `${subject || 'the subject'}: ${error.message}`);
	return new Fault('unavailable', `${subject}: ${error.message}`);
}

function connectFault(url: string, error: Error): Fault {
	const said = [error, error.cause].filter((each) => each instanceof Error).map((each) => `${each.name} ${each.message}`).join(' ');
	if (/authori[sz]ation|authentication/i.test(said)) return new Fault('unauthorized', `the bus at ${url} does not let this user in`);
	return new Fault('unavailable', `there is no bus at ${url}: ${error.message}`);
}
