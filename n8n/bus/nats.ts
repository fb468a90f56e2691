// What of the NATS library is used here? The build puts it into this one file, so that the package needs no other.

export {
	AckPolicy,
	type ConsumerMessages,
	jetstream,
	JetStreamApiError,
	type JetStreamManager,
	jetstreamManager,
	type JsMsg,
} from '@nats-io/jetstream';
export { Objm, type ObjectInfo, type ObjectStore } from '@nats-io/obj';
export {
	connect,
	createInbox,
	credsAuthenticator,
	errors,
	headers,
	type Msg,
	type NatsConnection,
	type NodeConnectionOptions,
} from '@nats-io/transport-node';
