import { subjects, type ServiceName, type TrailEvent, type TrailEventKind } from "@sluice/contracts";

/** What a service may tell of: the kinds of events, and which actions. */
interface Telling {
  readonly kinds: readonly TrailEventKind[];
  readonly isOwnAction?: (action: string) => boolean;
}

const onlyActions = (...names: readonly string[]): Telling => ({
  kinds: ["action", "emitter"],
  isOwnAction: (action) => names.includes(action),
});
const retention = "audit.retention";
const delivery = "push.deliver";
const fork = "audit.fork";
/** Nobody acts in the name of another service, and only control in that of operators. */
const tellings: Partial<Record<ServiceName, Telling>> = {
  ingress: { kinds: ["intent", "outcome", "refusals", "content", "emitter"] },
  egress: {
    kinds: ["outcome", "stream", "content", "action", "emitter"],
    isOwnAction: (action) => action === delivery,
  },
  control: { kinds: ["action", "emitter"], isOwnAction: (action) => ![retention, delivery, fork].includes(action) },
  audit: onlyActions(retention),
  signer: onlyActions(fork),
};
const bySubject = new Map(
  Object.entries(tellings).map(([service, telling]) => [subjects.audit(service as ServiceName), { service, telling }]),
);
const admission = subjects.admitAll.slice(0, -1);

/** Whether this comes on a subject on which nobody but who may tell of it can publish. */
export function mayTell(subject: string, event: TrailEvent): boolean {
  if (subject.startsWith(admission)) return event.event === "intent";
  const from = bySubject.get(subject);
  if (from === undefined || !from.telling.kinds.includes(event.event)) return false;
  if (event.event === "action") return from.telling.isOwnAction?.(event.action) === true;
  return event.event !== "emitter" || event.service === from.service;
}
