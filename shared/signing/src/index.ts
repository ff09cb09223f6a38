export { type SignedRequest, type SigningMode } from "./canonical.ts";
export { isNoteKeyName, makeNoteKey, type NoteKey } from "./note-key.ts";
export { createSigner, WeakSecretError, type Clock, type Signer, type SignerOptions, type SigningKey } from "./sign.ts";
export {
  createVerifier,
  verify,
  type Refusal,
  type SignatureHeaders,
  type Verification,
  type Verifier,
  type VerifierOptions,
} from "./verify.ts";
export { weakSecretReason } from "./weak-secret.ts";
