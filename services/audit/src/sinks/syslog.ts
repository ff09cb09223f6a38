import { createSocket } from "node:dgram";
import { connect as connectTcp, isIP, type Socket } from "node:net";
import { hostname } from "node:os";
import { connect as connectTls, rootCertificates } from "node:tls";
import { Away, reasonOf, Refusal, type Batch, type Sink, type SinkContext, type SinkOf, type Written } from "./sink.ts";

/** RFC 5424 §6.2.1. */
const severities = { warning: 4, informational: 6 } as const;
const perFacility = 8;
/** Of an IPv4 datagram, without its headers. */
const mostDatagramBytes = 65_507;
const timeoutMs = 30_000;

/**
 * RFC 5424 over TLS (RFC 5425) or TCP, each message with its length before it (RFC 6587 §3.4.1), or one per datagram over UDP (RFC 5426),
 * which may lose them. Syslog acknowledges nothing: over TLS and TCP each batch has a connection of its own and counts as taken
 * when the receiver has closed it in answer to our end, which it does after it has read all.
 */
export function syslogSink(destination: SinkOf<"syslog">, { ca }: SinkContext): Sink {
  const host = nilUnless(hostname());
  const messagesOf = ({ records }: Batch) =>
    records.map((record) => Buffer.from(messageOf(record, { facility: destination.facility, host })));
  return {
    send: async (batch, signal) => {
      const messages = messagesOf(batch);
      if (destination.transport === "udp") await sendDatagrams(destination, messages);
      else await sendCounted(destination, { messages, ca, signal });
    },
  };
}

interface Header {
  readonly facility: number;
  readonly host: string;
}

/** MSG is sent without a byte order mark, which JSON may not begin with. */
function messageOf({ isAlarming, at, type, text }: Written, { facility, host }: Header): string {
  const severity = isAlarming ? severities.warning : severities.informational;
  return `<${facility * perFacility + severity}>1 ${at.toISOString()} ${host} sluice - ${type} - ${text}`;
}

/** HOSTNAME is printable ASCII, or nil. */
function nilUnless(name: string): string {
  return /^[\x21-\x7e]{1,255}$/.test(name) ? name : "-";
}

interface Sending {
  readonly messages: readonly Buffer[];
  readonly ca: string | undefined;
  readonly signal: AbortSignal;
}

async function sendCounted(destination: SinkOf<"syslog">, { messages, ca, signal }: Sending): Promise<void> {
  const socket = open(destination, ca);
  const over = Promise.withResolvers<void>();
  const fail = (reason: unknown) => over.reject(reason);
  socket.once("error", fail);
  socket.once("end", () => over.resolve());
  socket.once("close", () => over.reject(new Away("it closed the connection in the middle")));
  const tooLong = setTimeout(() => fail(new Away("it did not take the messages in time")), timeoutMs);
  const stop = () => fail(new Away("the service stops"));
  signal.addEventListener("abort", stop, { once: true });
  // Whatever it says: there is nothing to say in syslog.
  socket.resume();
  try {
    socket.once(destination.transport === "tls" ? "secureConnect" : "connect", () =>
      socket.end(Buffer.concat(messages.flatMap((message) => [Buffer.from(`${message.length} `), message]))),
    );
    await over.promise;
    if (!socket.writableFinished) throw new Away("it closed the connection in the middle");
  } catch (error) {
    throw error instanceof Away ? error : new Away(reasonOf(error));
  } finally {
    clearTimeout(tooLong);
    signal.removeEventListener("abort", stop);
    socket.on("error", () => {});
    socket.destroy();
  }
}

function open({ transport, host, port }: SinkOf<"syslog">, ca: string | undefined): Socket {
  if (transport === "tcp") return connectTcp({ host, port });
  return connectTls({
    host,
    port,
    ...(isIP(host) === 0 && { servername: host }),
    ...(ca !== undefined && { ca: [...rootCertificates, ca] }),
  });
}

async function sendDatagrams({ host, port }: SinkOf<"syslog">, messages: readonly Buffer[]): Promise<void> {
  const tooLarge = messages.find((message) => message.length > mostDatagramBytes);
  if (tooLarge !== undefined)
    throw new Refusal(`${tooLarge.length} bytes do not fit into a datagram of ${mostDatagramBytes}`);
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  try {
    for (const message of messages)
      await new Promise<void>((resolve, reject) =>
        socket.send(message, port, host, (error) => (error === null ? resolve() : reject(error))),
      );
  } catch (error) {
    throw new Away(reasonOf(error));
  } finally {
    socket.close();
  }
}
