import type { Handler, Incoming } from "@sluice/bus";
import type { Context } from "./run.ts";

type Serve = (subject: string, handler: Handler) => void;

/**
 * Serves subjects until the scope closes, and then lets the handlers under way end. What a handler throws goes to `ignored`:
 * its message stays unanswered, and the asker closes at its deadline.
 */
export function servingFor(
  { bus, scope }: Pick<Context<unknown>, "bus" | "scope">,
  ignored: (reason: string) => void,
): Serve {
  const underWay = new Set<Promise<void>>();
  scope.defer(() => Promise.allSettled(underWay).then(() => {}));
  return (subject, handler) => {
    const run = async (message: Incoming) => await handler(message);
    const handle = (message: Incoming) => {
      const done = run(message)
        .catch((error: unknown) => ignored(error instanceof Error ? error.message : "failed"))
        .finally(() => underWay.delete(done));
      underWay.add(done);
    };
    scope.use(bus.serve(subject, handle));
  };
}
