import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";

/** A package archive that this machine's administrator set up. */
export interface Mirror {
  uri: string;
  /** A key file or an inline key, as in the source; undefined means apt's default keys. */
  signedBy?: string;
  trusted?: string;
}

interface Source extends Mirror {
  suites: string[];
  components: string[];
}

/** The archives that carry a distribution's `main`, the likeliest Debian archive first. */
export async function mirrorsOf(etcApt = "/etc/apt"): Promise<Mirror[]> {
  const sources: Source[] = [];
  for (const file of await sourceFiles(etcApt)) {
    const text = await readFile(file, "utf8").catch(() => "");
    sources.push(...(file.endsWith(".sources") ? parseDeb822(text) : parseOneLine(text)));
  }
  const whole = sources.filter((source) => source.components.includes("main") && source.suites.some(isWhole));
  const byUri = new Map(whole.map(({ uri, signedBy, trusted }) => [uri, mirror({ uri, signedBy, trusted })]));
  return [...byUri.values()].toSorted((a, b) => Number(looksLikeDebian(b)) - Number(looksLikeDebian(a)));
}

async function sourceFiles(etcApt: string): Promise<string[]> {
  const parts = join(etcApt, "sources.list.d");
  const names = await readdir(parts).catch(() => []);
  const files = names.filter((name) => /\.(list|sources)$/.test(name)).toSorted();
  return [join(etcApt, "sources.list"), ...files.map((name) => join(parts, name))];
}

/** Stanzas of "Field: value", with continuation lines that begin with a blank. */
export function parseDeb822(text: string): Source[] {
  return text
    .split(/\n[ \t]*\n/)
    .map(fieldsOf)
    .filter(
      (fields) => words(fields.get("types")).includes("deb") && !/^(no|false|0)$/i.test(fields.get("enabled") ?? ""),
    )
    .flatMap((fields) =>
      words(fields.get("uris")).map((uri) => ({
        ...mirror({ uri, signedBy: fields.get("signed-by"), trusted: fields.get("trusted") }),
        suites: words(fields.get("suites")),
        components: words(fields.get("components")),
      })),
    );
}

function fieldsOf(stanza: string): Map<string, string> {
  const fields = new Map<string, string>();
  let last = "";
  for (const line of stanza.split("\n")) {
    if (line.startsWith("#")) continue;
    const field = /^([A-Za-z][\w-]*):(.*)$/.exec(line);
    if (field) {
      last = (field[1] ?? "").toLowerCase();
      fields.set(last, (field[2] ?? "").trim());
    } else if (last && /^\s/.test(line)) {
      fields.set(last, `${fields.get(last)}\n${line}`);
    }
  }
  return fields;
}

/** Lines of "deb [option=value …] uri suite component…". */
export function parseOneLine(text: string): Source[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)/.exec(line);
    if (!match) return [];
    const [, , uri = "", suite = ""] = match;
    const options = new Map(words(match[1]).map((option) => option.split("=", 2) as [string, string]));
    const found = mirror({ uri, signedBy: options.get("signed-by"), trusted: options.get("trusted") });
    return [{ ...found, suites: [suite], components: words(match[4]) }];
  });
}

function mirror(found: { uri: string; signedBy: string | undefined; trusted: string | undefined }): Mirror {
  const { uri, signedBy, trusted } = found;
  return { uri, ...(signedBy !== undefined && { signedBy }), ...(trusted !== undefined && { trusted }) };
}

function isWhole(suite: string): boolean {
  return /^[a-z]+$/.test(suite);
}

function looksLikeDebian({ uri }: Mirror): boolean {
  return /debian\/?$|debian\.list$/.test(uri);
}

function words(value: string | undefined): string[] {
  return value?.split(/\s+/).filter(Boolean) ?? [];
}
