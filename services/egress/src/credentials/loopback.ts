/** Whether a URL names this machine itself, by a name or a number that no name server can turn elsewhere. */
export function isLoopback({ hostname }: URL): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
