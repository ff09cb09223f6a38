import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { freePort, spawnService } from "@sluice/launcher";

/** The official everything server over Streamable HTTP, on loopback only. */
export interface Everything extends AsyncDisposable {
  readonly url: string;
}

export async function startEverything(): Promise<Everything> {
  const port = await freePort();
  const main = createRequire(import.meta.url).resolve("@modelcontextprotocol/server-everything/dist/index.js");
  const listening = Promise.withResolvers<void>();
  const server = await spawnService({
    name: "everything",
    command: process.execPath,
    args: [
      "--import",
      fileURLToPath(new URL("../../cli/dist/demo/loopback.js", import.meta.url)),
      main,
      "streamableHttp",
    ],
    env: { PORT: String(port), PATH: process.env["PATH"] ?? "" },
    onLine: (line) => {
      if (line.includes("listening on port")) listening.resolve();
    },
  });
  void server.exit.then(() => listening.reject(new Error("the everything server could not start")));
  await listening.promise;
  return { url: `http://127.0.0.1:${port}/mcp`, [Symbol.asyncDispose]: async () => void (await server.stop()) };
}
