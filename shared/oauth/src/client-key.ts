import { createPrivateKey, type JsonWebKeyInput, type KeyObject, type webcrypto } from "node:crypto";
import { assertionAlgorithms, type ClientCredentials } from "@sluice/contracts";
import { SecretProblem } from "@sluice/secrets";

type Algorithm = NonNullable<ClientCredentials["algorithm"]>;
type Import = Parameters<KeyObject["toCryptoKey"]>[0];

const minRsaBits = 2048;
const curves: Readonly<Record<string, { algorithm: Algorithm; namedCurve: string }>> = {
  prime256v1: { algorithm: "ES256", namedCurve: "P-256" },
  secp384r1: { algorithm: "ES384", namedCurve: "P-384" },
  secp521r1: { algorithm: "ES512", namedCurve: "P-521" },
};

/** A key that signs client assertions, and what it is called. */
export interface ClientKey {
  readonly key: webcrypto.CryptoKey;
  readonly kid?: string;
  readonly algorithm: Algorithm;
}

/**
 * Reads a private key: PKCS#8 in PEM, or a JWK, whose `kid` and `alg` hold where the settings have none.
 * @throws SecretProblem that names the reference and what is wrong, never the key
 */
export function readClientKey(
  reference: string,
  text: string,
  settings: Pick<ClientCredentials, "algorithm" | "keyId">,
): ClientKey {
  const { object, kid, alg } = parse(reference, text.trim());
  const algorithm = settings.algorithm ?? assertionAlgorithms.find((known) => known === alg) ?? fitting(object);
  const parameters = algorithm === undefined ? undefined : importParameters(object, algorithm);
  if (algorithm === undefined || parameters === undefined)
    throw new SecretProblem(
      reference,
      `a key of type ${object.asymmetricKeyType} does not fit ${algorithm ?? "any algorithm"}`,
    );
  if ((object.asymmetricKeyDetails?.modulusLength ?? minRsaBits) < minRsaBits)
    throw new SecretProblem(reference, `an RSA key must have at least ${minRsaBits} bits`);
  const keyId = settings.keyId ?? kid;
  const key = object.toCryptoKey(parameters, false, ["sign"]);
  return { key, algorithm, ...(keyId !== undefined && { kid: keyId }) };
}

function parse(reference: string, text: string): { object: KeyObject; kid?: string; alg?: unknown } {
  try {
    if (!text.startsWith("{")) return { object: createPrivateKey(text) };
    const key = JSON.parse(text) as JsonWebKeyInput["key"] & { kid?: unknown; alg?: unknown };
    const object = createPrivateKey({ key, format: "jwk" });
    return { object, alg: key.alg, ...(typeof key.kid === "string" && { kid: key.kid }) };
  } catch {
    throw new SecretProblem(reference, "is not a private key: it must be PKCS#8 in PEM, unencrypted, or a private JWK");
  }
}

function fitting({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): Algorithm | undefined {
  if (asymmetricKeyType === "rsa") return "RS256";
  if (asymmetricKeyType === "ed25519") return "EdDSA";
  return curves[asymmetricKeyDetails?.namedCurve ?? ""]?.algorithm;
}

function importParameters(key: KeyObject, algorithm: Algorithm): Import | undefined {
  if (algorithm === "EdDSA" || algorithm === "Ed25519")
    return key.asymmetricKeyType === "ed25519" ? "Ed25519" : undefined;
  if (algorithm.startsWith("ES")) {
    const curve = curves[key.asymmetricKeyDetails?.namedCurve ?? ""];
    return curve?.algorithm === algorithm ? { name: "ECDSA", namedCurve: curve.namedCurve } : undefined;
  }
  if (key.asymmetricKeyType !== "rsa") return undefined;
  const name = algorithm.startsWith("PS") ? "RSA-PSS" : "RSASSA-PKCS1-v1_5";
  return { name, hash: `SHA-${algorithm.slice(2)}` };
}
