import type { Events } from "../events-postgres.ts";

/** A store that tells whenever it has something new. */
export function telling(events: Events, onStored: () => void): Events {
  return {
    check: () => events.check(),
    store: async (rows) => {
      const stored = await events.store(rows);
      if (stored > 0) onStored();
      return stored;
    },
  };
}
