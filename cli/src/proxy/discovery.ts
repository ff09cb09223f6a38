/**
 * Whether a client asks how to log in (RFC 8414, RFC 9728, OpenID Connect Discovery), also with a path before or behind: there
 * is no login here, and what an upstream would say of its own is not for who goes through a signing proxy.
 */
export function isDiscoveryProbe(path: string): boolean {
  return /\/\.well-known\/(?:oauth|openid)-[^/]*(?:\/.*)?$/i.test(decoded(path));
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
