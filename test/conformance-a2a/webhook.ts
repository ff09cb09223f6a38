import { startRecordedServer, type RecordedServer } from "./agents/recorded-server.ts";

/** A webhook that takes everything and keeps it. */
export function startWebhook(): Promise<RecordedServer> {
  return startRecordedServer(() => (request, response) => {
    request.resume().once("end", () => response.writeHead(204).end());
  });
}
