// Does each way to say who one is get in, and nobody without it? By a real nats-server of each kind.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { nkeys } from '@nats-io/transport-node';
import { Bus } from '../dist/bus/bus.js';
import type { BusCredential } from '../dist/bus/credential.js';
import { PlainServer } from './bus.mts';

let folder: string;
before(() => {
	folder = mkdtempSync(join(tmpdir(), 'megabrain-n8n-'));
});
after(() => rmSync(folder, { recursive: true }));

/** Asks somebody on that bus who answers with what was asked. */
async function echoed(credential: BusCredential): Promise<string> {
	const bus = await Bus.connect(credential);
	bus.nats.subscribe('user.echo', { callback: (_, message) => void message.respond(message.data) });
	try {
		const answer = await bus.request('user.echo', Buffer.from('who?'), { deadlineMs: 5_000, work: 'w' });
		return Buffer.from(answer.data).toString();
	} finally {
		await bus.nats.close();
	}
}

test('a token', async (t) => {
	const server = await PlainServer.start('authorization { token: "s3cret" }');
	t.after(() => server.stop());
	const right: BusCredential = { url: server.url, authentication: 'token', token: 's3cret' };
	assert.equal(await echoed(right), 'who?');
	await assert.rejects(Bus.connect({ ...right, token: 'wrong' }), { kind: 'unauthorized' });
	await assert.rejects(Bus.connect({ url: server.url, authentication: 'none' }), { kind: 'unauthorized' });
});

test('a certificate: of the server, and of whoever comes', async (t) => {
	const [ca, own, elsewhere] = ['IP:127.0.0.1', 'DNS:client', 'DNS:localhost'].map((name, number) => {
		const [key, certificate] = [join(folder, `${number}.key`), join(folder, `${number}.pem`)];
		const subject = ['-subj', `/CN=${number}`, '-addext', `subjectAltName=${name}`];
		execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', certificate, ...subject], { stdio: 'ignore' });
		return { key, certificate };
	});
	assert(ca && own && elsewhere);
	const files = `cert_file: "${ca.certificate}", key_file: "${ca.key}"`;
	const text = (path: string) => readFileSync(path, 'utf8');
	const server = await PlainServer.start(`tls { ${files}, timeout: 5 }`);
	t.after(() => server.stop());
	const right: BusCredential = { url: server.url, authentication: 'none', tls: true, ca: text(ca.certificate) };
	assert.equal(await echoed(right), 'who?');
	await assert.rejects(Bus.connect({ ...right, ca: text(own.certificate) }), { kind: 'unavailable' });

	const stranger = await PlainServer.start(`tls { cert_file: "${elsewhere.certificate}", key_file: "${elsewhere.key}", timeout: 5 }`);
	t.after(() => stranger.stop());
	const misled = { ...right, url: stranger.url, ca: text(elsewhere.certificate) };
	await assert.rejects(Bus.connect(misled), { kind: 'unavailable' }, 'it is known, and not meant');
	assert.equal(await echoed({ ...misled, url: stranger.url.replace('127.0.0.1', 'localhost') }), 'who?');

	const strict = await PlainServer.start(`tls { ${files}, ca_file: "${own.certificate}", verify: true, handshake_first: true, timeout: 5 }`);
	t.after(() => strict.stop());
	const mine = { ...right, url: strict.url, certificate: text(own.certificate), privateKey: text(own.key), handshakeFirst: true };
	assert.equal(await echoed(mine), 'who?');
	await assert.rejects(Bus.connect({ ...mine, certificate: undefined, privateKey: undefined }));
});

test('a creds file', async (t) => {
	const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()];
	const token = (issuer: nkeys.KeyPair, subject: nkeys.KeyPair, nats: object) => {
		const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
		const claims = { jti: 'test', iat: Math.floor(Date.now() / 1000), iss: issuer.getPublicKey(), sub: subject.getPublicKey(), name: 'test' };
		const signed = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part({ ...claims, nats: { version: 2, ...nats } })}`;
		return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`;
	};
	const unlimited = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
	const accounts = `${account.getPublicKey()}: ${token(operator, account, { type: 'account', limits: unlimited })}`;
	const server = await PlainServer.start(
		`operator: ${token(operator, operator, { type: 'operator' })}\nresolver: MEMORY\nresolver_preload: { ${accounts} }`,
	);
	t.after(() => server.stop());
	const creds = (signer: nkeys.KeyPair) => {
		const jwt = token(signer, user, { type: 'user', subs: -1, data: -1, payload: -1 });
		const seed = new TextDecoder().decode(user.getSeed());
		return [`-----BEGIN NATS USER JWT-----\n${jwt}\n------END NATS USER JWT------\n`, `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`].join('\n');
	};
	const right: BusCredential = { url: server.url, authentication: 'creds', secretCreds: creds(account) };
	assert.equal(await echoed(right), 'who?');
	await assert.rejects(Bus.connect({ ...right, secretCreds: creds(nkeys.createAccount()) }), { kind: 'unauthorized' });
});
