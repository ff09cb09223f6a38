import { readFile, writeFile } from "node:fs/promises";
import { freePort, isFreePort } from "@sluice/launcher";
import { isMap, isScalar, isSeq, parseDocument, type Document } from "yaml";
import { demoServer, demoTenant, demoTenantsYaml, signingSecretFile, type DemoConf } from "./conf.ts";

const localUrl = /^http:\/\/127\.0\.0\.1:(\d{1,5})\/mcp$/;

/**
 * Makes the demo's `tenants.yaml` where there is none; one that is there stays as its owner has edited it. The port of
 * the demo upstream is the one that it names; only where somebody else has that port now, another one is written into it.
 */
export async function keepTenantsFile(file: string, conf: Omit<DemoConf, "port">): Promise<{ port: number }> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (text === undefined) {
    const port = await freePort();
    await writeFile(file, demoTenantsYaml({ ...conf, port }));
    return { port };
  }
  const url = urlOfDemoServer(parseDocument(text));
  const named = Number(localUrl.exec(url?.text ?? "")?.[1] ?? 0);
  const port = named > 0 && (await isFreePort(named)) ? named : await freePort();
  let patched = text;
  if (url !== undefined && named > 0 && port !== named)
    patched = `${text.slice(0, url.from)}http://127.0.0.1:${port}/mcp${text.slice(url.to)}`;
  // The directory may have been moved since.
  patched = patched.replaceAll(signingSecretFile, () => `\${file:${conf.secretFile}}`);
  if (patched !== text) await writeFile(file, patched);
  return { port };
}

/** Where in the file the demo upstream's URL stands; undefined where its owner has taken it out. */
function urlOfDemoServer(document: Document): { text: string; from: number; to: number } | undefined {
  const endpoints = document.getIn(["tenants", demoTenant, "mcp", "endpoints"]);
  if (!isSeq(endpoints)) return undefined;
  const endpoint = endpoints.items.find((item) => isMap(item) && item.get("name") === demoServer);
  const url = isMap(endpoint) ? endpoint.get("url", true) : undefined;
  if (!isScalar(url) || typeof url.value !== "string" || !url.range) return undefined;
  return { text: url.value, from: url.range[0], to: url.range[1] };
}
