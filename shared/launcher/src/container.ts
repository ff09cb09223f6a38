import { stat } from "node:fs/promises";
import { freePort } from "./free-port.ts";
import { LaunchError } from "./part.ts";
import type { LaunchOptions, Part, PartName } from "./part.ts";

/** How a part is run as a container. Its data lives as long as the container. */
export interface ContainerRecipe {
  name: PartName;
  image: string;
  port: number;
  url(port: number): string;
  ready: RegExp;
  /** How often the ready line must have come; default 1. */
  readyTimes?: number;
  command?: string[];
  environment?: Record<string, string>;
  files?: { target: string; content: string }[];
}

/** Whether it is worth trying: an engine's address is set, or its socket is there. */
export async function engineAnswers(env: NodeJS.ProcessEnv): Promise<boolean> {
  if (env["DOCKER_HOST"]) return true;
  return stat("/var/run/docker.sock").then(
    (found) => found.isSocket(),
    () => false,
  );
}

/** Runs the part under testcontainers, whose reaper ends the container with this process. */
export async function startContainer(recipe: ContainerRecipe, options: LaunchOptions): Promise<Part> {
  const { GenericContainer, Wait, getContainerRuntimeClient } = await import("testcontainers").catch(
    (cause: unknown) => {
      throw new LaunchError(
        `${recipe.name} could run in a container, but the npm package testcontainers is not installed`,
        { cause },
      );
    },
  );
  options.onProgress?.(`starting ${recipe.image} in a container`);
  const port = options.port ?? (await freePort());
  const definition = new GenericContainer(recipe.image)
    .withExposedPorts({ container: recipe.port, host: port })
    .withEnvironment(recipe.environment ?? {})
    .withCopyContentToContainer(recipe.files ?? [])
    .withWaitStrategy(Wait.forLogMessage(recipe.ready, recipe.readyTimes ?? 1));
  if (recipe.command) definition.withCommand(recipe.command);
  const container = await definition.start();
  const engine = (await getContainerRuntimeClient()).container;
  const handle = engine.getById(container.getId());
  const stop = async (): Promise<void> => {
    await container.stop({ remove: false });
  };
  return {
    name: recipe.name,
    url: recipe.url(port),
    version: /:(\d[\d.]*)/.exec(recipe.image)?.[1] ?? "",
    source: "container",
    pid: undefined,
    lost: new Promise(() => {}),
    stop,
    kill: async (signal) => {
      await handle.kill({ signal });
    },
    restart: () => container.restart(),
    [Symbol.asyncDispose]: stop,
  };
}
