import type { Take } from "./clients/tape.ts";

/** A request and its answer with everything left out that differs from run to run. */
export interface NormalTake {
  readonly request: string;
  readonly body: string;
  readonly status: number;
  readonly contentType: string;
  /** The JSON of an answer, or the data of each event. */
  readonly answers: readonly string[];
}

const uuid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;
const timestamp = /\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g;
const isCard = ({ url }: Take) => /agent(?:-card)?\.json$/.test(url);

/** Tapes of two runs are equal where what went over the wire was: ids by when they were first seen, times by being times. */
export function normalTakes(takes: readonly Take[], bases: readonly string[]): NormalTake[] {
  const ids = new Map<string, string>();
  const idOf = (found: string) => {
    const known = ids.get(found.toLowerCase()) ?? `<id ${ids.size + 1}>`;
    ids.set(found.toLowerCase(), known);
    return known;
  };
  const normal = (text: string) => text.replaceAll(uuid, idOf).replaceAll(timestamp, "<time>");
  const longestFirst = bases.toSorted((one, other) => other.length - one.length);
  return takes
    .filter((take) => !isCard(take))
    .map(({ method, url, body, status, contentType, answer }) => {
      const base = longestFirst.find((text) => url.startsWith(text)) ?? "";
      const isStream = contentType.startsWith("text/event-stream");
      return {
        request: normal(`${method} ${url.slice(base.length)}`),
        body: normal(body),
        status,
        contentType: contentType.replace(/; ?charset=utf-8$/i, ""),
        answers: (isStream ? [...answer.matchAll(/^data: ?(.*)$/gm)].map(([, data = ""]) => data) : [answer]).map(
          normal,
        ),
      };
    });
}
