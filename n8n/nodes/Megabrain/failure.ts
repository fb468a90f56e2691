// How does n8n show a fault? With its kind in the first line, and below it what to do.

import { type INode, NodeApiError, NodeOperationError } from 'n8n-workflow';
import { Fault } from '../../bus/fault';

export function nodeError(node: INode, error: Error, itemIndex?: number): NodeApiError | NodeOperationError {
	if (error instanceof NodeApiError || error instanceof NodeOperationError) return error;
	if (!(error instanceof Fault)) return new NodeOperationError(node, error, { itemIndex });
	return new NodeApiError(
		node,
		{ ...error.toJSON() },
		{
			message: `${error.kind}: ${error.message}`,
			description: error.advice,
			httpCode: String(error.code),
			itemIndex,
		},
	);
}
