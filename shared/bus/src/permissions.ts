import {
  auditorStream,
  checkpointBucket,
  checkpointMarker,
  confBucket,
  credentialBucket,
  definitionsBucket,
  pinsBucket,
  historyBucket,
  streams,
  subjects,
  type ServiceName,
} from "@sluice/contracts";

/** What one service may say and hear on the bus. Deny is the default. */
export interface Permissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

/** Reading some keys of a bucket: the watch is an ordered consumer on the bucket's stream. */
const readBucket = (bucket: string, keys: string): Permissions => ({
  publish: [
    `$JS.API.STREAM.INFO.KV_${bucket}`,
    `$JS.API.CONSUMER.CREATE.KV_${bucket}.*.$KV.${bucket}.${keys}`,
    `$JS.API.CONSUMER.INFO.KV_${bucket}.*`,
    `$JS.API.CONSUMER.DELETE.KV_${bucket}.*`,
    `$JS.FC.KV_${bucket}.>`,
  ],
  subscribe: [],
});

/** Being one of those who share the durable consumer of a stream. */
const consume = (stream: string, consumer: string): Permissions => ({
  publish: [
    `$JS.API.STREAM.INFO.${stream}`,
    `$JS.API.CONSUMER.DURABLE.CREATE.${stream}.${consumer}`,
    `$JS.API.CONSUMER.CREATE.${stream}.>`,
    `$JS.API.CONSUMER.INFO.${stream}.${consumer}`,
    `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`,
    `$JS.ACK.${stream}.${consumer}.>`,
    "$JS.API.INFO",
  ],
  subscribe: [],
});

/** One's own keys of the configuration. */
const readConf = (section: ServiceName) => readBucket(confBucket, `${section}.*`);

const special: Record<ServiceName, readonly Permissions[]> = {
  ingress: [
    readConf("ingress"),
    readBucket(credentialBucket, ">"),
    {
      publish: [
        subjects.admitAll,
        subjects.audit("ingress"),
        subjects.callAll,
        subjects.ask("rate-limit", "give"),
        subjects.ask("policy", "arguments"),
        subjects.ask("policy", "filter"),
        subjects.ask("egress", "card"),
        subjects.ownRateLimit("*"),
        subjects.ownAll,
        subjects.ownIngress("*", "post"),
        `$JS.API.DIRECT.GET.${streams.replies.name}`,
        subjects.pushAll,
        `$JS.API.STREAM.INFO.${streams.push.name}`,
      ],
      subscribe: [
        subjects.streamAll,
        subjects.aliveAll("egress"),
        subjects.ownIngress("*", "post"),
        subjects.ownIngress("*", "replaced"),
      ],
    },
  ],
  policy: [readConf("policy"), { publish: [], subscribe: [subjects.admitPolicy, subjects.ask("policy", "*")] }],
  "rate-limit": [
    readConf("rate-limit"),
    {
      publish: [],
      subscribe: [
        subjects.admitLimit,
        subjects.ask("rate-limit", "*"),
        subjects.ownRateLimit("*"),
        subjects.aliveAll("rate-limit"),
      ],
    },
  ],
  "session-manager": [{ publish: [], subscribe: [subjects.admitSession, subjects.ask("session-manager", "*")] }],
  egress: [
    readConf("egress"),
    readBucket(pinsBucket, "*.*.*"),
    consume(streams.push.name, "push"),
    {
      publish: [
        subjects.ask("control", "observe"),
        subjects.streamAll,
        subjects.audit("egress"),
        subjects.ask("policy", "filter"),
        subjects.ask("session-manager", "*"),
        subjects.ownAll,
        subjects.ownIngress("*", "replaced"),
        `$JS.API.STREAM.PURGE.${streams.replies.name}`,
        subjects.pushDead,
      ],
      subscribe: [
        subjects.callAll,
        subjects.ask("egress", "card"),
        subjects.ownAll,
        subjects.aliveAll("ingress"),
        subjects.aliveAll("egress"),
      ],
    },
  ],
  audit: [
    readConf("audit"),
    consume(streams.audit.name, "audit"),
    {
      publish: [
        subjects.auditDead,
        subjects.audit("audit"),
        subjects.trailAll,
        `$JS.API.STREAM.INFO.${streams.trail.name}`,
        `$JS.API.STREAM.MSG.GET.${streams.trail.name}`,
        `$JS.API.STREAM.INFO.${streams.dead.name}`,
      ],
      subscribe: [subjects.ask("audit", "*"), subjects.aliveAll("ingress"), subjects.aliveAll("egress")],
    },
  ],
  signer: [
    readBucket(checkpointBucket, ">"),
    {
      publish: [
        `$KV.${checkpointBucket}.>`,
        subjects.checkpointAll,
        `$JS.API.STREAM.MSG.GET.${streams.checkpoints.name}`,
        subjects.audit("signer"),
      ],
      subscribe: [],
    },
  ],
  control: [
    {
      publish: [
        "$JS.API.>",
        `$KV.${confBucket}.>`,
        `$KV.${historyBucket}.>`,
        `$KV.${credentialBucket}.>`,
        `$KV.${pinsBucket}.>`,
        `$KV.${definitionsBucket}.>`,
        `$KV.${checkpointBucket}.${checkpointMarker}`,
        "$JS.FC.>",
        subjects.audit("control"),
        subjects.auditorApi("*", `STREAM.*.${auditorStream}`),
        subjects.ask("audit", "*"),
      ],
      subscribe: [subjects.aliveEverywhere, subjects.ask("control", "observe")],
    },
  ],
};

/** The permissions of a service, for the NATS server's configuration. */
export function permissionsOf(service: ServiceName): Permissions {
  const parts = special[service];
  return {
    publish: [subjects.aliveAll(service), subjects.answersBy(service), ...parts.flatMap((part) => part.publish)],
    subscribe: [subjects.inboxesOf(service), `_INBOX.${service}.>`, ...parts.flatMap((part) => part.subscribe)],
  };
}
