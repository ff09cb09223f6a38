import { confJsonSchema } from "./conf-json-schema.ts";
import { nearest } from "./nearest-key.ts";

/** A JSON Schema, as far as it says which keys there are. */
interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
}

const mostPlaces = 2;
/** Short words are like many others. */
const shortestElsewhere = 6;
let root: Schema | undefined;
const schema = (): Schema => (root ??= confJsonSchema());

/** What was probably meant by a key that is not known where it stands; begins with a semicolon, and is empty where nobody can say. */
export function hintForKey(key: string, path: readonly PropertyKey[]): string {
  const here = nearest(key, keysOf(at(path)));
  if (here !== undefined) return `; did you mean ${here}?`;
  const places = placesOf(schema());
  const exact = places.get(key);
  if (exact !== undefined && exact.size <= mostPlaces) return `; it belongs under ${[...exact].join(" or ")}`;
  const elsewhere = key.length < shortestElsewhere ? undefined : nearest(key, places.keys());
  return elsewhere === undefined ? "" : `; did you mean ${elsewhere}?`;
}

/** What can be said instead of a value, and which of it was probably meant. */
export function hintForValue(value: unknown, values: readonly unknown[]): string {
  const words = values.map(String);
  const meant = nearest(String(value), words);
  const choice = words.length === 1 ? `must be ${words[0]}` : `must be one of ${words.join(", ")}`;
  return meant === undefined || meant === value ? choice : `${choice}; did you mean ${meant}?`;
}

function at(path: readonly PropertyKey[]): Schema[] {
  let schemas: Schema[] = forms(schema());
  for (const part of path) schemas = schemas.flatMap((one) => step(one, part)).flatMap(forms);
  return schemas;
}

function step({ properties, additionalProperties, items }: Schema, part: PropertyKey): Schema[] {
  if (typeof part === "number") return items === undefined ? [] : [items];
  const own = properties !== undefined && Object.hasOwn(properties, part) ? properties[String(part)] : undefined;
  if (own !== undefined) return [own];
  return typeof additionalProperties === "object" ? [additionalProperties] : [];
}

/** A schema and whatever it may be instead. */
function forms(one: Schema): Schema[] {
  return [one, ...[one.anyOf, one.oneOf, one.allOf].flatMap((more = []) => more.flatMap(forms))];
}

function keysOf(schemas: readonly Schema[]): string[] {
  return schemas.flatMap(({ properties = {} }) => Object.keys(properties));
}

/** Every key with the keys that it can stand under. */
function placesOf(one: Schema, under = "the file", places = new Map<string, Set<string>>()): Map<string, Set<string>> {
  for (const form of forms(one)) {
    for (const [key, value] of Object.entries(form.properties ?? {})) {
      places.set(key, (places.get(key) ?? new Set()).add(under));
      placesOf(value, key, places);
    }
    for (const inner of [form.items, form.additionalProperties])
      if (typeof inner === "object") placesOf(inner, inner === form.items ? under : `a name under ${under}`, places);
  }
  return places;
}
