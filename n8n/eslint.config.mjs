// n8n's own rules, in the variant for packages that open connections: n8n's cloud lets none do so.
import { configWithoutCloudSupport } from '@n8n/node-cli/eslint';

export default [
	...configWithoutCloudSupport,
	{
		// It knows nothing of n8n: its faults become n8n's errors in nodes/Megabrain/failure.ts.
		files: ['bus/**/*.ts'],
		rules: { '@n8n/community-nodes/require-node-api-error': 'off' },
	},
	{
		// The project has neither mail address nor page of its own yet.
		files: ['package.json'],
		rules: { '@n8n/community-nodes/valid-author': 'off', '@n8n/community-nodes/require-homepage': 'off' },
	},
];
