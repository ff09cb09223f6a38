import { z } from "zod";

interface Form {
  readonly example: string;
  /** A regular expression of the whole place, as editors get it too. */
  readonly place: string;
  /** Said where the place is not of this form. */
  readonly must: string;
}

/** A part of a path in Vault; neither . nor .. */
const segment = "(?!\\.{1,2}[/#])[A-Za-z0-9_.@:+=,~!*'()&$-]+";

/** How each kind of reference is written: `${kind:place}`. */
const forms = {
  env: {
    example: "${env:NAME}",
    place: "[A-Za-z_][A-Za-z0-9_]*",
    must: "name an environment variable: letters, digits and _",
  },
  file: {
    example: "${file:PATH}",
    place: "[^{}\\u0000-\\u001f\\u007f]+",
    must: "name a file; no braces or control characters may be in its path",
  },
  vault: {
    example: "${vault:PATH#KEY}",
    place: `${segment}(?:/${segment})*#[^{}#\\u0000-\\u001f\\u007f]+`,
    must: "name a path as in Vault's API, such as secret/data/acme, and after # the key there",
  },
} as const satisfies Record<string, Form>;

export type SecretKind = keyof typeof forms;

/** A reference taken apart: which provider reads it, and where. */
export interface SecretPlace {
  readonly kind: SecretKind;
  readonly place: string;
}

const examples = Object.values(forms).map(({ example }) => example);
const general = `must be a reference: ${examples.slice(0, -1).join(", ")} or ${examples.at(-1)}`;
const anyForm = new RegExp(
  `^\\$\\{(?:${Object.entries(forms)
    .map(([kind, { place }]) => `${kind}:${place}`)
    .join("|")})\\}$`,
);

/** Takes a reference apart, or says what is wrong with it without repeating it: it may be the secret itself. */
export function readSecretReference(text: string): SecretPlace | string {
  const [, kind = "", place = ""] = /^\$\{([a-z]+):([^}]*)\}$/.exec(text) ?? [];
  if (!Object.hasOwn(forms, kind)) return general;
  const { example, must } = forms[kind as SecretKind];
  return anyForm.test(text) ? { kind: kind as SecretKind, place } : `${example} must ${must}`;
}

/** Where a secret is kept; the service that needs it reads it there, and the configuration never holds it. */
export const secretReference = z.string().regex(anyForm, {
  error: ({ input }) => {
    const read = readSecretReference(String(input));
    return typeof read === "string" ? read : general;
  },
});
