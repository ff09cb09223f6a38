import type { CallHead } from "@sluice/contracts";
import type { Span } from "@sluice/telemetry";
import { clientOf, limitStateOf } from "./outcome.ts";
import type { Decided } from "./passage.ts";
import type { RequestHead } from "./request-head.ts";
import type { Principal } from "./tenants.ts";
import { whoOf } from "./who.ts";

interface Carried {
  readonly request: RequestHead;
  readonly principal: Principal;
  readonly span: Span;
  readonly name: string;
}

/** What egress learns of every call, whatever its protocol. */
export function handedOver({ request, principal, span, name }: Carried, { intent, admitted }: Decided) {
  const { policy, policyVersion } = admitted;
  const limit = limitStateOf(admitted.limit);
  const client = intent.client ?? clientOf(admitted);
  return {
    call: intent.call,
    traceparent: span.traceparent,
    tenant: principal.tenant,
    ...whoOf(principal),
    http: request.method as CallHead["http"],
    era: intent.era,
    stream: name,
    rule: policy.rule,
    policyVersion,
    ...(policy.shadow !== undefined && { shadow: policy.shadow }),
    ...(limit !== undefined && { limit }),
    ...(client !== undefined && { client }),
    ...(intent.target !== undefined && { target: intent.target }),
    ...(intent.targetKind !== undefined && { targetKind: intent.targetKind }),
    ...(intent.rpcId !== undefined && { rpcId: intent.rpcId }),
  };
}
