import { createAddressGuard } from "@sluice/net";
import { describe, expect, it } from "vitest";
import { inlineWebhook, readWebhook, requireCallable } from "./push-webhook.ts";

const told = { id: "own-id", url: "https://gateway.example/a2a/push/h", token: "own-token" };
const rpc = { version: "1.0", binding: "JSONRPC" } as const;
const config =
  '{"id":"mine","url":"https://hooks.example/?canary","token":"canary","authentication":{"scheme":"Bearer","credentials":"canary"}}';

describe("a message that names a webhook", () => {
  it.each([
    ["1.0", "JSONRPC", '{"params":{"configuration":{"taskPushNotificationConfig":', "}}}"],
    ["1.0", "JSONRPC", '{"params":{"configuration":{"task_push_notification_config":', "}}}"],
    ["1.0", "HTTP+JSON", '{"configuration":{"taskPushNotificationConfig":', "}}"],
    ["0.3", "JSONRPC", '{"params":{"configuration":{"pushNotificationConfig":', "}}}"],
    ["0.3", "JSONRPC", '{"params":{"configuration":{"pushNotification\\u0043onfig":', "}}}"],
    ["0.3", "HTTP+JSON", '{"configuration":{"pushNotification":', "}}"],
    ["0.3", "HTTP+JSON", '{"configuration":{"push_notification":', "}}"],
    ["0.1", "JSONRPC", '{"params":{"pushNotification":', "}}"],
  ] as const)(
    "of %s by %s gets the gateway's in its place, and not another byte changes",
    async (version, binding, before, behind) => {
      const [start, end] = [`{"x": 1e400, "y":"\\u00e4ä" ,${before.slice(1)}`, ` ${behind}  `];
      const inline = await inlineWebhook({ version, binding }, Buffer.from(start + config + end));
      expect(inline).toMatchObject({
        config: "mine",
        webhook: { token: "canary", authentication: { scheme: "Bearer" } },
      });
      const { id, ...rest } = told;
      const replaced = JSON.stringify(version === "0.1" ? rest : { id, ...rest });
      expect(inline?.replacedBy(told).toString()).toBe(start + replaced + end);
    },
  );

  it("twice, or in letters of another size, is refused", async () => {
    const twice = `{"params":{"configuration":{"pushNotificationConfig":${config},"taskPushNotificationConfig":${config}}}}`;
    await expect(inlineWebhook(rpc, Buffer.from(twice))).rejects.toThrow("more than once");
    const shouted = `{"params":{"configuration":{"PUSHNOTIFICATIONCONFIG":${config}}}}`;
    await expect(inlineWebhook(rpc, Buffer.from(shouted))).rejects.toThrow("exact name");
  });

  it("nowhere, or null, is left alone", async () => {
    for (const text of [
      '{"params":{"message":{"parts":[{"text":"a notification"}]}}}',
      '{"params":{"configuration":{"taskPushNotificationConfig":null}}}',
    ])
      expect(await inlineWebhook(rpc, Buffer.from(text))).toBeUndefined();
  });
});

describe("a webhook", () => {
  const guard = createAddressGuard([]);

  it("is read as any revision writes it", () => {
    const authentication = { scheme: "Basic", credentials: "dXM6" };
    const url = "https://hooks.example/";
    expect(readWebhook({ url, authentication: { schemes: ["Basic", "Bearer"], credentials: "dXM6" } })).toEqual({
      webhook: { url, authentication },
    });
    expect(readWebhook({ id: "", url, token: "", authentication: null })).toEqual({ webhook: { url } });
    for (const bad of [{}, { url: 1 }, "x", { url, token: 5 }, { url: "x".repeat(5_000) }])
      expect(() => readWebhook(bad)).toThrow("needs a url");
  });

  it("A25: inside, of another protocol, with a password, or with what no header field can hold, is refused", () => {
    const inside = [
      "http://127.1/",
      "http://0x7f.1/",
      "http://[::ffff:127.0.0.1]/",
      "http://169.254.169.254/",
      "http://[fd00::]/",
    ];
    for (const url of [
      ...inside,
      "http://localhost/",
      "file:///etc/passwd",
      "ftp://x/",
      "no",
      "https://u:p@hooks.example/",
    ])
      expect(() => requireCallable({ url }, guard), url).toThrow("the webhook");
    const url = "https://hooks.example/";
    expect(() => requireCallable({ url, token: "a\r\nx: y" }, guard)).toThrow("header field");
    const authentication = { scheme: "Bearer", credentials: "ä" };
    expect(() => requireCallable({ url, authentication }, guard)).toThrow("header field");
    expect(() => requireCallable({ url, token: "fine" }, guard)).not.toThrow();
  });
});
