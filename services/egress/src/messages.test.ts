import { describe, expect, it } from "vitest";
import type { ListedKind } from "@sluice/contracts";
import { hideListed, isListMethod } from "./messages.ts";

const asked: [ListedKind, string[]][] = [];
const hideSecrets = (kind: ListedKind, names: string[]) => {
  asked.push([kind, names]);
  return Promise.resolve(names.map((name) => !name.includes("secret")));
};
const hidden = async (text: string) => (await hideListed(Buffer.from(text), hideSecrets)).toString();

describe("what policy hides of a list (A12)", () => {
  it.each([
    ["tools/list", "tools", "name", "tools"],
    ["prompts/list", "prompts", "name", "prompts"],
    ["resources/list", "resources", "uri", "resources"],
    ["resources/templates/list", "resourceTemplates", "uriTemplate", "resources"],
  ] as const)("is cut out of an answer to %s; every other byte stays", async (method, member, name, kind) => {
    expect(isListMethod(method)).toBe(true);
    asked.splice(0);
    const list = (...items: string[]) => `{"id":1,"result":{"${member}": [${items.join(",")}] ,"ttlMs":1.0e3}}`;
    const kept = [`{ "${name}" : "a\\u0062", "x":[1.0] }`, `{"${name}":"c","title":"secret"}`] as const;
    const text = list(kept[0], `{"${name}":"secret"}`, `{"title":"nameless"}`, "7", kept[1]);
    expect(await hidden(text)).toBe(list(...kept));
    expect(asked).toEqual([[kind, ["ab", "secret", "", "", "c"]]]);
  });

  it("is cut out of every list that one answer holds", async () => {
    const text = (rest: string) =>
      `{"result":{"resources":[${rest}{"uri":"a:b"}],"x":"é","tools":[{"name":"a"}${rest === "" ? "" : ',{"name":"secret"}'}],"prompts":[]}}`;
    expect(await hidden(text('{"uri":"secret:x"},'))).toBe(text(""));
  });

  it("leaves what is no list as it is, and does not show what cannot be read for certain", async () => {
    for (const text of ['{"method":"notifications/prompts/list_changed"}', '{"result":{"prompts":7}}', '{"error":{}}'])
      expect(await hidden(text)).toBe(text);
    for (const text of ['{"result":{"prompts":[],"prompts":[]}}', '{"result":{"Resources":[]}}', "[]", "{"])
      await expect(hidden(text), text).rejects.toMatchObject({ kind: "upstream_failed" });
  });
});
