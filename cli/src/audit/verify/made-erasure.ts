import { commit, makeTrail, rehash, type MadeEntry } from "./made-trail.ts";

export const forgotten = "agent-1";

/** A trail with an action at its end that says of each commitment of somebody that they were forgotten: each event has a salt of its own here. */
export function forgetting(): Map<string, MadeEntry[]> {
  const made = makeTrail({ _gateway: 4, acme: 60 });
  const all = made.get("acme") as MadeEntry[];
  const last = all.at(-1) as MadeEntry;
  const subjects = all.flatMap(({ event, sealed }) =>
    event["agent_id"] === forgotten
      ? commit("agent_id", forgotten, Buffer.from(sealed["agent_id"]?.salt as string, "hex"))
      : [],
  );
  subjects.forEach((subject, at) => {
    const event = {
      ...{ event_id: `erase${at}`, log: "acme", schema: 1, at: last.event["at"], stored_at: last.event["at"] },
      ...{ kind: "action", action: "audit.erase", tenant: "acme", result: "done", subject },
    };
    all.push(rehash({ log: "acme", index: all.length, event, sealed: {}, hash: "" }));
  });
  return made;
}
