import { DiscardPolicy, jetstreamManager, RetentionPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import {
  auditorStream,
  checkpointBucket,
  checkpointMarker,
  confBucket,
  credentialBucket,
  credentialMarker,
  decodeJson,
  definitionsBucket,
  encodeJson,
  Fault,
  pinsBucket,
  pinsMarker,
  streams,
  subjects,
} from "@sluice/contracts";
import { auditorSource } from "./nats-accounts.ts";
import type { Bus } from "./bus.ts";

export interface TopologyOptions {
  /** Copies of each stream: 1 on one server, 3 in production. */
  readonly replicas: number;
  /** Bound of what waits for the audit service; when it is reached, calls are refused. */
  readonly auditMaxBytes: number;
  /** Bound and age of what compliance can replay. */
  readonly trailMaxBytes: number;
  readonly trailMaxAgeMs: number;
  /** Logs whose readers have accounts of their own on the server. */
  readonly auditors?: readonly string[];
  /** Bound and age of streamed answers kept for resumption. */
  readonly repliesMaxBytes: number;
  readonly repliesMaxAgeMs: number;
  /** Bound of what waits to be told to clients, and how much of it may wait for one of them. */
  readonly pushMaxBytes: number;
  readonly pushMaxWaiting: number;
}

/** Messages that cannot be read are few; they get this part of the audit stream's room. */
const deadLetterShare = 8;
/** Bounds of what is kept of tools: when they are reached, what is new stays unknown, or without its text. */
const pinsMaxBytes = 128 * 1024 ** 2;
const definitionsMaxBytes = 512 * 1024 ** 2;
/** What is kept of notifications that could not be delivered: the newest. */
const pushDeadMaxBytes = 16 * 1024 ** 2;
/** Of each log the newest checkpoints are kept: at one each 10 s some weeks of them, and of all at most so much. */
const checkpointsPerLog = 200_000;
const checkpointsMaxBytes = 1024 ** 3;
const second = 1_000_000_000;
const ms = 1_000_000;

/** Makes or updates the JetStream streams and the buckets of the configuration and of credentials. Only control may. */
export async function ensureTopology(bus: Bus, options: TopologyOptions): Promise<void> {
  const manager = await jetstreamManager(bus.nats);
  const common = { storage: StorageType.File, num_replicas: options.replicas };
  const wanted: Stream[] = [
    {
      ...common,
      name: streams.audit.name,
      subjects: [...streams.audit.subjects],
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      max_bytes: options.auditMaxBytes,
      duplicate_window: second,
    },
    {
      ...common,
      name: streams.dead.name,
      subjects: [...streams.dead.subjects],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      max_bytes: Math.ceil(options.auditMaxBytes / deadLetterShare),
    },
    {
      ...common,
      name: streams.replies.name,
      subjects: [...streams.replies.subjects],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      max_bytes: options.repliesMaxBytes,
      max_age: options.repliesMaxAgeMs * ms,
      duplicate_window: second,
      allow_direct: true,
    },
    ...trailStreams(options).map((stream) => ({ ...common, ...stream })),
    ...pushStreams(options).map((stream) => ({ ...common, ...stream })),
  ];
  const existing = new Set<string>();
  for await (const name of manager.streams.names()) existing.add(name);
  for (const { name, ...config } of wanted) {
    if (existing.has(name)) await manager.streams.update(name, config);
    else await manager.streams.add({ name, ...config });
  }
  for (const log of options.auditors ?? []) await ensureCopy(bus, log, options);
  const kvm = new Kvm(bus.nats);
  await kvm.create(confBucket, { history: 5, replicas: options.replicas });
  const credentials = await kvm.create(credentialBucket, { history: 1, replicas: options.replicas });
  if ((await credentials.get(credentialMarker)) === null) await credentials.put(credentialMarker, "");
  const pins = await kvm.create(pinsBucket, { replicas: options.replicas, max_bytes: pinsMaxBytes });
  if ((await pins.get(pinsMarker)) === null) await pins.put(pinsMarker, "");
  await kvm.create(definitionsBucket, { replicas: options.replicas, max_bytes: definitionsMaxBytes });
  const checkpoints = await kvm.create(checkpointBucket, { history: 8, replicas: options.replicas });
  if ((await checkpoints.get(checkpointMarker)) === null) await checkpoints.put(checkpointMarker, "");
}

const copyTimeoutMs = 5_000;
/** Each has files in the server that carries the calls. */
const copyMaxConsumers = 64;

/** Makes or updates what the reader of a log reads: a stream in its own account, which the server fills. */
async function ensureCopy(bus: Bus, log: string, options: TopologyOptions): Promise<void> {
  const config = {
    ...{ name: auditorStream, storage: "file", retention: "limits", discard: "old", num_replicas: options.replicas },
    ...{ max_bytes: options.trailMaxBytes, max_age: options.trailMaxAgeMs * ms, deny_delete: true, deny_purge: true },
    max_consumers: copyMaxConsumers,
    sources: [
      {
        ...{ name: streams.trail.name, filter_subject: subjects.trail(log) },
        external: { api: auditorSource, deliver: subjects.auditorCopy(log, "").slice(0, -1) },
      },
    ],
  };
  const question = encodeJson(config);
  const failures: string[] = [];
  for (const verb of ["CREATE", "UPDATE"]) {
    const subject = subjects.auditorApi(log, `STREAM.${verb}.${auditorStream}`);
    const { data } = await bus.ask(subject, question, { timeoutMs: copyTimeoutMs });
    const { error } = decodeJson<{ error?: { description?: string } }>(data);
    if (error === undefined) return;
    failures.push(error.description ?? verb);
  }
  throw new Fault("unavailable", `the copy of ${log} for its auditor can't be made: ${failures.join("; ")}`);
}

type Stream = Partial<StreamConfig> & { name: string; subjects: string[] };

/** What compliance reads: stored events, of which the oldest go where there is no room, and signed checkpoints. */
function trailStreams({ trailMaxBytes, trailMaxAgeMs }: TopologyOptions): Stream[] {
  return [
    {
      name: streams.trail.name,
      subjects: [...streams.trail.subjects],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      max_bytes: trailMaxBytes,
      max_age: trailMaxAgeMs * ms,
      duplicate_window: second,
    },
    {
      name: streams.checkpoints.name,
      subjects: [...streams.checkpoints.subjects],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      max_msgs_per_subject: checkpointsPerLog,
      max_bytes: checkpointsMaxBytes,
      duplicate_window: second,
    },
  ];
}

/** What waits to be told to clients, with a bound for each of them, and what could not be. */
function pushStreams({ pushMaxBytes, pushMaxWaiting }: TopologyOptions): Stream[] {
  return [
    {
      name: streams.push.name,
      subjects: [...streams.push.subjects],
      retention: RetentionPolicy.Workqueue,
      discard: DiscardPolicy.New,
      discard_new_per_subject: true,
      max_msgs_per_subject: pushMaxWaiting,
      max_bytes: pushMaxBytes,
      duplicate_window: second,
    },
    {
      name: streams.pushDead.name,
      subjects: [...streams.pushDead.subjects],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.Old,
      max_bytes: pushDeadMaxBytes,
    },
  ];
}
