import { createHash, createHmac, generateKeyPairSync } from "node:crypto";

function jwt(header: object, signature: (signed: string) => string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part(header)}.${part({ sub: "a-1", agent_id: "a-1", tenant: "acme", exp: 4_000_000_000 })}`;
  return `${signed}.${signature(signed)}`;
}

/** Header fields that hold everything but a valid credential, under the name of what is wrong with them. */
export function forgedCredentials({
  key,
  revoked,
}: {
  key: string;
  revoked: string;
}): Record<string, Record<string, string | string[]>> {
  const hash = createHash("sha256").update(key).digest("hex");
  const { publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const pem = publicKey.export({ type: "spki", format: "pem" });
  const tokens: Record<string, string> = {
    garbage: "garbage",
    "of zero length": "",
    "of 600 characters": "k".repeat(600),
    revoked,
    "an alg-none token": jwt({ alg: "none", typ: "JWT" }, () => ""),
    "an alg-None token with a signature": jwt({ alg: "None", typ: "JWT" }, () => "c2ln"),
    "an HS256 token signed with a public RSA key": jwt({ alg: "HS256", kid: "rsa" }, (signed) =>
      createHmac("sha256", pem).update(signed).digest("base64url"),
    ),
    "the key's hash": hash,
    "the key's hash as configured": `sha256:${hash}`,
    "the key in upper case": key.toUpperCase(),
    "the key cut": key.slice(0, -1),
    "the key and more": `${key}A`,
    "the key twice": `${key}, ${key}`,
    "the name of a prototype": "__proto__",
    constructor: "constructor",
  };
  const credentials: Record<string, Record<string, string | string[]>> = { "no credential": {} };
  for (const [name, token] of Object.entries(tokens)) {
    credentials[`x-agent-api-key: ${name}`] = { "x-agent-api-key": token };
    credentials[`Bearer: ${name}`] = { authorization: `Bearer ${token}` };
  }
  return {
    ...credentials,
    "a valid key as Basic": { authorization: `Basic ${Buffer.from(`a-1:${key}`).toString("base64")}` },
    "a valid key without a scheme": { authorization: key },
    "a valid key as a cookie": { cookie: `x-agent-api-key=${key}` },
    "a valid key in Proxy-Authorization": { "proxy-authorization": `Bearer ${key}` },
    "a valid key under an underscore name": { x_agent_api_key: key },
    "a wrong key beside a valid bearer": { "x-agent-api-key": "garbage", authorization: `Bearer ${key}` },
    "a wrong bearer beside a valid key": { "x-agent-api-key": key, authorization: "Bearer garbage" },
    "a token that nobody signed beside a valid key": {
      "x-agent-api-key": key,
      authorization: `Bearer ${jwt({ alg: "RS256" }, () => "c2ln")}`,
    },
    "a valid and a wrong key": { "x-agent-api-key": [key, "garbage"] },
    "a verified identity from outside": { "x-verified-agent-id": "a-1" },
  };
}
