/** Loaded in front of the demo upstream: a listener that names no address gets loopback instead of every interface. */
import { Server } from "node:net";

const listen = Server.prototype.listen as (this: Server, ...args: unknown[]) => Server;

Server.prototype.listen = function (this: Server, ...args: unknown[]): Server {
  const [port, ...rest] = args;
  const namesPortOnly = typeof port === "number" || (typeof port === "string" && /^\d+$/.test(port));
  if (namesPortOnly && typeof rest[0] !== "string") return listen.call(this, Number(port), "127.0.0.1", ...rest);
  return listen.apply(this, args);
} as typeof Server.prototype.listen;
