const minSecretBytes = 16;

const wellKnown = new Set(
  [
    "changeme changeit changethis replaceme replacethis secret mysecret topsecret supersecret verysecret yoursecret",
    "sharedsecret clientsecret apisecret jwtsecret secretkey mysecretkey yoursecretkey supersecretkey password passwd",
    "passw0rd p4ssw0rd mypassword yourpassword default test testing testsecret testkey example sample demo dummy",
    "placeholder todo fixme none null undefined admin administrator root guest user letmein welcome qwerty",
    "qwertyuiop abcdef abcdefghijklmnop abcdefghijklmnopqrstuvwxyz token key apikey insecure sluice dev development",
    "local localhost hmac signing signingkey signature keyboardcat hunter trustno",
  ].flatMap((line) => line.split(" ")),
);
const fillers = [...wellKnown, ..."change me my your please the this in production prod super very long".split(" ")];
const counting = "0123456789".repeat(8);

/**
 * Why a secret must not be used, or undefined when it may. The reason never holds the secret or a part of it. Case,
 * separators and trailing digits do not make a well-known word strong, nor does saying anything twice.
 */
export function weakSecretReason(secret: string): string | undefined {
  if (secret.trim() === "") return "it is empty";
  if (/^(.)\1*$/su.test(secret)) return "it repeats a single character";
  const plain = secret.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, "");
  if (isWellKnown(plain)) return "it is a well-known default";
  if (Buffer.byteLength(secret) < minSecretBytes) return `it is shorter than ${minSecretBytes} bytes`;
  if (isWellKnown(shortestPeriod(plain)) || wordsOnly(plain)) return "it is a well-known default";
  if (new Set(secret).size < 5) return "it is made of fewer than 5 different characters";
  if (plain !== "" && (counting.includes(plain) || counting.includes([...plain].toReversed().join(""))))
    return "it only counts";
  return undefined;
}

function isWellKnown(plain: string): boolean {
  return wellKnown.has(plain) || wellKnown.has(plain.replace(/\p{N}+$/u, ""));
}

/** Such as `change-me-please-secret`: nothing but default words, one after the other. */
function wordsOnly(plain: string): boolean {
  const reachable = [true];
  for (let end = 1; end <= plain.length; end++) {
    reachable[end] = fillers.some(
      (word) => end >= word.length && reachable[end - word.length] === true && plain.endsWith(word, end),
    );
  }
  return plain !== "" && reachable[plain.length] === true;
}

function shortestPeriod(plain: string): string {
  const length = (plain + plain).indexOf(plain, 1);
  return plain.slice(0, length);
}
