import { expect, it } from "vitest";
import { agentVersions, startAgent } from "./agent.ts";

const bodies = {
  "0.1": (text: string) => ({
    method: "tasks/send",
    params: { id: "t1", message: { role: "user", parts: [{ type: "text", text }] } },
  }),
  "0.2": (text: string) => ({
    method: "message/send",
    params: { message: { kind: "message", messageId: "m1", role: "user", parts: [{ kind: "text", text }] } },
  }),
  "0.3": (text: string) => ({
    method: "message/send",
    params: { message: { kind: "message", messageId: "m1", role: "user", parts: [{ kind: "text", text }] } },
  }),
  "1.0": (text: string) => ({
    method: "SendMessage",
    params: { message: { messageId: "m1", role: "ROLE_USER", parts: [{ text }] } },
  }),
};

it.each(agentVersions)(
  "the reference agent of %s does what it is told, and keeps what came and went",
  async (version) => {
    await using agent = await startAgent(version);
    const card = (await (await fetch(agent.cardUrl)).json()) as { name: string };
    expect(card.name).toBe(`Reference ${version}`);
    agent.ledger.rewriteAnswers((json) => json.replace(/}$/, ',"x-new": 1.50}'));
    const ask = (text: string) =>
      fetch(agent.jsonRpcUrl, {
        method: "POST",
        headers: { "content-type": "application/json", "a2a-version": version },
        body: JSON.stringify({ jsonrpc: "2.0", id: 7, ...bodies[version](text) }),
      });
    const text = await (await ask("echo hello")).text();
    expect(text).toContain("hello");
    expect(text).toMatch(/,"x-new": 1\.50\}$/);
    expect(agent.ledger.hits).toBe(1);
    expect(agent.ledger.exchanges.at(-1)).toMatchObject({ method: "POST", path: "/rpc", isOpen: false });
    expect(agent.ledger.exchanges.at(-1)?.answer.body.toString()).toBe(text);
    expect(JSON.parse(agent.ledger.exchanges.at(-1)?.body.toString() ?? "")).toMatchObject({ id: 7 });
  },
);
