// What went wrong, in the words of the contract, and what can a person do about it?

/** A closed set, as in schemas/json/fault.schema.json. */
export type FaultKind =
	| 'invalid_request'
	| 'unauthorized'
	| 'not_found'
	| 'too_large'
	| 'overloaded'
	| 'cancelled'
	| 'engine'
	| 'worker_lost'
	| 'unavailable'
	| 'deadline_exceeded';

interface Known {
	/** What the header `Nats-Service-Error-Code` says. */
	code: number;
	/** Whether the same request may succeed when it is sent again. */
	retryable: boolean;
	advice: string;
}

const KINDS: Record<FaultKind, Known> = {
	invalid_request: { code: 400, retryable: false, advice: 'Correct the field or the media that the message names.' },
	unauthorized: { code: 401, retryable: false, advice: "Check user, password and rights in the credential: nats.conf says who may what." },
	not_found: { code: 404, retryable: false, advice: 'See `megabrain models` for the models that are there. Media stays for a day: store it again.' },
	too_large: { code: 413, retryable: false, advice: 'Send media as binary fields: what is too large for a message goes by reference. Else send less.' },
	overloaded: { code: 429, retryable: true, advice: 'The queue is full and nothing was done. Turn on "Retry On Fail" in the settings of the node.' },
	cancelled: { code: 499, retryable: false, advice: 'Somebody stopped the work.' },
	engine: { code: 500, retryable: false, advice: 'The model failed on this request and lives on. Try another request, or another model.' },
	worker_lost: { code: 502, retryable: true, advice: "The model's process died and is being started again. Turn on \"Retry On Fail\" in the settings of the node." },
	unavailable: { code: 503, retryable: true, advice: 'Is the brain running (`megabrain status`), and does the credential name its bus?' },
	deadline_exceeded: { code: 504, retryable: true, advice: 'Give it more time in the option "Timeout", or ask for fewer tokens.' },
};

const isKind = (kind: unknown): kind is FaultKind => typeof kind === 'string' && kind in KINDS;

/** One failure: its kind for programs, its message for people. */
export class Fault extends Error {
	readonly advice: string;

	constructor(
		readonly kind: FaultKind,
		message: string,
		readonly retryable = KINDS[kind].retryable,
		readonly retryAfterMs?: number,
	) {
		super(message);
		this.name = 'Fault';
		this.advice = KINDS[kind].advice;
	}

	get code(): number {
		return KINDS[this.kind].code;
	}

	/** The fault that an answer is, if it is one. */
	static of(answer: unknown): Fault | undefined {
		const error = (answer as { error?: Record<string, unknown> } | null)?.error;
		if (!isKind(error?.kind)) return undefined;
		const after = typeof error.retry_after_ms === 'number' ? error.retry_after_ms : undefined;
		return new Fault(error.kind, String(error.message), error.retryable === true, after);
	}

	/** As it is told, in an answer or in an item. */
	toJSON() {
		const { kind, message, retryable, retryAfterMs } = this;
		return { kind, message, retryable, ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }) };
	}
}
