import { parseExact } from "@sluice/json";
import { describe, expect, it } from "vitest";
import { Condition } from "./condition.ts";
import { factsOf } from "./facts.ts";

const say = (text: string, args: string) =>
  new Condition(text).evaluate(
    factsOf({
      tenant: "acme",
      agent: { id: "a" },
      method: "tools/call",
      target: "pay",
      args: parseExact(args),
    }),
  );

describe("a number that a double cannot hold", () => {
  const large = "9007199254740993";

  it.each([
    [`args.account == ${large}`, `{"account":${large}}`],
    [`args.account != ${large}`, `{"account":${large}}`],
    ["args.account > 1", `{"account":${large}}`],
    ["has(args.account)", `{"account":${large}}`],
    ["args.x.account == 1", `{"x":{"account":${large}}}`],
    ["args['account'] == 1", `{"account":${large}}`],
    ["args.accounts[0] == 1", `{"accounts":[${large}]}`],
    [`${large} in args.accounts`, `{"accounts":[${large}]}`],
    [`args.accounts.exists(one, one == ${large})`, `{"accounts":[1,${large}]}`],
    [`args.accounts == [${large}]`, `{"accounts":[${large}]}`],
    [`args == {'account': ${large}}`, `{"account":${large}}`],
    ["args.n > 1.0", '{"n":1e999}'],
    ["args.n == 0.1", '{"n":0.1000000000000000055}'],
  ])("%s fails on it", (text, args) => {
    expect(say(text, args)).toBe("failed");
  });

  it("does not matter to what does not read it, nor do numbers that a double holds", () => {
    expect(say("args.path == 'x'", `{"account":${large},"path":"x"}`)).toBe("met");
    expect(say("args.account == 9007199254740992", '{"account":9007199254740992}')).toBe("met");
    expect(say("args.n == 1.5 && args.m == 1000.0", '{"n":1.5,"m":1e3}')).toBe("met");
  });
});

describe("a member that another is spelt like", () => {
  it.each([
    ["args.path.startsWith('/tmp/')", '{"Path":"/etc","path":"/tmp/a"}'],
    ["args.path.startsWith('/tmp/')", '{"path":"/tmp/a","PATH":"/etc"}'],
    ["has(args.force) && args.force == true", '{"Force":true}'],
    ["'force' in args", '{"Force":true}'],
    ["args['path'] == 'x'", '{"path":"x","Path":"y"}'],
    ["args.o.path == 'x'", '{"o":{"path":"x","Path":"y"}}'],
    ["args.list.all(one, one.path == 'x')", '{"list":[{"path":"x","Path":"y"}]}'],
    ["args.mask == 'x'", '{"mask":"x","mas\u212a":"y"}'],
    ["args.mask == 'x'", '{"mask":"x","ma\u017fk":"y"}'],
  ])("%s fails on %s", (text, args) => {
    expect(say(text, args)).toBe("failed");
  });

  it("does not matter to what reads others", () => {
    expect(say("args.path == 'x' && !has(args.force)", '{"path":"x","Name":1,"name":2}')).toBe("met");
  });
});
