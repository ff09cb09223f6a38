import type { X509Certificate } from "node:crypto";
import { AsnConvert } from "@peculiar/asn1-schema";
import { SubjectAlternativeName } from "@peculiar/asn1-x509";
import { certificateNames, type Agent, type CertificateName, type Mtls } from "@sluice/contracts";
import { read } from "./certificate-path.ts";

type Names = Readonly<Record<CertificateName, readonly string[]>>;
type AgentOf = (names: Names) => Agent | undefined;

const subjectAlternativeName = "2.5.29.17";
const commonName = "2.5.4.3";
const agentId = /^[A-Za-z0-9._@:-]{1,128}$/;

/** Says which agent a certificate is of; nobody where the entries take it for none, or for several. */
export function compileAgents(entries: Mtls["agents"]): (certificate: X509Certificate) => Agent | undefined {
  const rules = entries.map(compile);
  return (certificate) => {
    const names = namesOf(certificate);
    const found = rules.flatMap((rule) => rule(names) ?? []);
    return found.every(({ id }) => id === found[0]?.id) ? found[0] : undefined;
  };
}

function compile(entry: Mtls["agents"][number]): AgentOf {
  const { name, owner, agentId: template = "*" } = entry;
  const kind = certificateNames.find((one) => entry[one] !== undefined) ?? "commonName";
  const wildcard = compileName(entry[kind] ?? "");
  const besides = { ...(name !== undefined && { name }), ...(owner !== undefined && { owner }) };
  return (names) => {
    const ids = names[kind].flatMap((text) => {
      const stoodFor = wildcard(text);
      return stoodFor === undefined ? [] : [template.split("*").join(stoodFor)];
    });
    const [id] = ids;
    if (id === undefined || !agentId.test(id) || ids.some((other) => other !== id)) return undefined;
    return { id, ...besides };
  };
}

/** What `*` stands for in a text that fits; names are compared byte by byte. */
function compileName(pattern: string): (text: string) => string | undefined {
  const [before = "", after] = pattern.split("*");
  if (after === undefined) return (text) => (text === pattern ? "" : undefined);
  return (text) =>
    text.length > before.length + after.length && text.startsWith(before) && text.endsWith(after)
      ? text.slice(before.length, text.length - after.length)
      : undefined;
}

/** Taken from the certificate's bytes: the texts that stand for them in node can be read in two ways. */
function namesOf(certificate: X509Certificate): Names {
  const { subject, extensions = [] } = read(certificate).tbsCertificate;
  const extension = extensions.find(({ extnID }) => extnID === subjectAlternativeName);
  const sans = extension === undefined ? [] : [...AsnConvert.parse(extension.extnValue.buffer, SubjectAlternativeName)];
  const attributes = subject.flatMap((relative) => [...relative]);
  return {
    uri: sans.flatMap((san) => san.uniformResourceIdentifier ?? []),
    dns: sans.flatMap((san) => san.dNSName ?? []),
    email: sans.flatMap((san) => san.rfc822Name ?? []),
    commonName: attributes.filter(({ type }) => type === commonName).map(({ value }) => value.toString()),
  };
}
