// Where is the brain's bus, and who are we on it?

import type { ICredentialType, INodeProperties } from 'n8n-workflow';

const only = (...authentication: string[]) => ({ show: { authentication } });
const withTls = { show: { tls: [true] } };

export class MegabrainBusApi implements ICredentialType {
	name = 'megabrainBusApi';

	displayName = 'Megabrain Bus API';

	icon = { light: 'file:../icons/megabrain.svg', dark: 'file:../icons/megabrain.dark.svg' } as const;

	documentationUrl = 'https://docs.nats.io/using-nats/developer/connecting';

	properties: INodeProperties[] = [
		{
			displayName: 'URL',
			name: 'url',
			type: 'string',
			default: 'nats://127.0.0.1:4222',
			required: true,
			description: 'Of the NATS server, several with commas between. On the machine of the brain, <code>megabrain env</code> prints it.',
		},
		{
			displayName: 'Authentication',
			name: 'authentication',
			type: 'options',
			options: [
				{ name: 'Credentials File', value: 'creds' },
				{ name: 'None', value: 'none' },
				{ name: 'Token', value: 'token' },
				{ name: 'User and Password', value: 'password' },
			],
			default: 'password',
		},
		{
			displayName: 'User',
			name: 'user',
			type: 'string',
			default: 'client',
			displayOptions: only('password'),
		},
		{
			displayName: 'Password',
			name: 'password',
			type: 'string',
			typeOptions: { password: true },
			default: '',
			displayOptions: only('password'),
			description: 'The one of MEGABRAIN_CLIENT_PASSWORD. Without that variable, a brain makes another one each time that it starts.',
		},
		{
			displayName: 'Token',
			name: 'token',
			type: 'string',
			typeOptions: { password: true },
			default: '',
			displayOptions: only('token'),
		},
		{
			displayName: 'Content of the File',
			name: 'secretCreds',
			type: 'string',
			typeOptions: { password: true, rows: 6 },
			default: '',
			displayOptions: only('creds'),
			description: 'All of a .creds file: JWT and seed',
		},
		{
			displayName: 'TLS',
			name: 'tls',
			type: 'boolean',
			default: false,
			description: 'Whether to insist on an encrypted connection',
		},
		{
			displayName: 'Certificate Authority',
			name: 'ca',
			type: 'string',
			typeOptions: { rows: 4 },
			default: '',
			displayOptions: withTls,
			description: "The PEM of who signed the server's certificate, if this machine does not know it",
		},
		{
			displayName: 'Client Certificate',
			name: 'certificate',
			type: 'string',
			typeOptions: { password: true, rows: 4 },
			default: '',
			displayOptions: withTls,
			description: 'A PEM, if the server wants to see one',
		},
		{
			displayName: 'Client Key',
			name: 'privateKey',
			type: 'string',
			typeOptions: { password: true, rows: 4 },
			default: '',
			displayOptions: withTls,
		},
		{
			displayName: 'TLS Handshake First',
			name: 'handshakeFirst',
			type: 'boolean',
			default: false,
			displayOptions: withTls,
			description: 'Whether the server expects TLS from the first byte',
		},
		{
			displayName: 'Inbox Prefix',
			name: 'inboxPrefix',
			type: 'string',
			default: '_INBOX',
			description: 'Where answers come in, for a user who may listen to inboxes of its own only',
		},
	];
}
