// How does a credential of n8n become options of a NATS connection?

import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import { credsAuthenticator, type NodeConnectionOptions } from './nats';

/** What a person fills in: credentials/MegabrainBusApi.credentials.ts. */
export interface BusCredential {
	url: string;
	authentication: 'password' | 'token' | 'creds' | 'none';
	user?: string;
	password?: string;
	token?: string;
	secretCreds?: string;
	tls?: boolean;
	ca?: string;
	certificate?: string;
	privateKey?: string;
	handshakeFirst?: boolean;
	inboxPrefix?: string;
}

export function inboxPrefix(credential: BusCredential): string {
	return credential.inboxPrefix?.trim() || '_INBOX';
}

/** Once connected, a connection never gives up: a bus that was away for a night is found again in the morning. */
export function connectionOptions(credential: BusCredential): NodeConnectionOptions {
	return {
		servers: credential.url.split(',').map((url) => url.trim()),
		name: 'n8n-nodes-megabrain',
		inboxPrefix: inboxPrefix(credential),
		timeout: 5_000,
		maxReconnectAttempts: -1,
		reconnectTimeWait: 1_000,
		// A server that is being set up anew may refuse for a while; who it knows is not settled by two refusals.
		ignoreAuthErrorAbort: true,
		// A machine that vanished without a word is noticed within half a minute.
		pingInterval: 10_000,
		maxPingOut: 2,
		...identity(credential),
		...(credential.tls && { tls: tls(credential) }),
	};
}

function identity(credential: BusCredential): NodeConnectionOptions {
	switch (credential.authentication) {
		case 'password':
			return { user: credential.user, pass: credential.password };
		case 'token':
			return { token: credential.token };
		case 'creds':
			return { authenticator: credsAuthenticator(new TextEncoder().encode(credential.secretCreds)) };
		case 'none':
			return {};
	}
}

function tls({ url, ca, certificate, privateKey, handshakeFirst }: BusCredential): NodeConnectionOptions['tls'] {
	const options = { ...(ca && { ca }), ...(certificate && { cert: certificate }), ...(privateKey && { key: privateKey }), handshakeFirst };
	return Object.assign(options, identityCheck(url));
}

/**
 * Of a server that is addressed by number, Node.js would ask for a certificate of `localhost`: the library does not say
 * whom it has reached. It is one of those that the credential names.
 */
function identityCheck(url: string) {
	const hosts = url.split(',').map(hostOf);
	const numbers = hosts.filter(isIP);
	if (numbers.length === 0) return {};
	return {
		checkServerIdentity(name: string, certificate: PeerCertificate) {
			const meant = hosts.includes(name) ? [name] : numbers;
			const errors = meant.map((host) => checkServerIdentity(host, certificate));
			return errors.includes(undefined) ? undefined : errors[0];
		},
	};
}

function hostOf(url: string): string {
	const address = url.trim().includes('://') ? url.trim() : `nats://${url.trim()}`;
	return URL.canParse(address) ? new URL(address).hostname.replace(/^\[|\]$/g, '') : '';
}
