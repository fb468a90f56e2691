// What does a trigger hold while it listens?

/** Something that starts workflows until it is stopped. */
export interface Source {
	/** Settles when nothing more comes and every run has ended; rejects if it ended by itself. */
	ended: Promise<void>;
	/** No more messages; what runs goes on. */
	stop(): void;
}
