import { newEnough } from "./binaries.ts";
import type { Binary } from "./binaries.ts";
import { engineAnswers, startContainer } from "./container.ts";
import type { ContainerRecipe } from "./container.ts";
import { LaunchError, givenPart } from "./part.ts";
import type { LaunchOptions, Part, PartName } from "./part.ts";

/** What differs between the parts when one is looked for. */
export interface Wanted {
  name: PartName;
  urlVariable: string;
  minimum: string;
  /** For the error: what an administrator would install. */
  install: string;
  installed(): Promise<Binary[]>;
  fetched(): Promise<Binary>;
  start(binary: Binary): Promise<Part>;
  container: ContainerRecipe;
}

/** The one order in which a part is looked for: its URL, this machine, the project's own cache, a container. */
export async function resolvePart(wanted: Wanted, options: LaunchOptions): Promise<Part> {
  const env = options.env ?? process.env;
  const url = env[wanted.urlVariable];
  if (url) return givenPart(wanted.name, url);
  const reasons: string[] = [];
  if (options.prefer !== "fetched") {
    const { usable, refused } = newEnough(await wanted.installed(), wanted.minimum);
    if (usable[0]) return wanted.start(usable[0]);
    reasons.push(...(refused.length > 0 ? refused : ["none is installed"]));
  }
  const fetched = await fetchedBinary(wanted).catch((error: Error) => {
    reasons.push(error.message);
  });
  if (fetched) return wanted.start(fetched);
  if (await engineAnswers(env)) {
    try {
      return await startContainer(wanted.container, options);
    } catch (error) {
      reasons.push(`its container failed: ${(error as Error).message}`);
    }
  } else {
    reasons.push("no container engine answers");
  }
  throw new LaunchError(
    `${wanted.name} can't be started: ${reasons.join("; ")}. Install ${wanted.install} ${wanted.minimum} or newer, or set ${wanted.urlVariable}`,
  );
}

async function fetchedBinary(wanted: Wanted): Promise<Binary> {
  const binary = await wanted.fetched();
  const { usable, refused } = newEnough([binary], wanted.minimum);
  if (!usable[0]) throw new LaunchError(refused.join("; "));
  return { ...usable[0], source: "fetched" };
}
