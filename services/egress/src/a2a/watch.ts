import { Fault } from "@sluice/contracts";
import type { Ending } from "../active-call.ts";
import type { AgentCall } from "./agent-call.ts";

/** The subscriptions to tasks that this replica has. */
export class Watches {
  /** Carries out an operation whose answer is a stream of events. @throws Fault where there is no answer */
  carry(_to: AgentCall): Promise<Ending> {
    throw new Fault("internal", "not built yet");
  }
}
