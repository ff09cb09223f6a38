/** Bounds of what a document may ask of the scanner. */
export interface Limits {
  /** Nested objects and arrays. */
  maxDepth: number;
  /** Bytes of a number, of a member name, or of a string that names an item. */
  maxTokenBytes: number;
  /** Items of all observed lists of a document together. */
  maxItems: number;
}

export const defaultLimits: Readonly<Limits> = { maxDepth: 128, maxTokenBytes: 16_384, maxItems: 100_000 };
