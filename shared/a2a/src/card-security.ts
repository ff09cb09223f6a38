/** How a caller can say who it is: what cards say of the gateway itself. */
export type SecurityScheme =
  | { readonly type: "apiKey"; readonly header: string }
  | { readonly type: "bearer" }
  | { readonly type: "openIdConnect"; readonly url: string; readonly scopes: readonly string[] }
  | { readonly type: "oauth2"; readonly tokenUrl: string; readonly scopes: readonly string[] }
  | { readonly type: "mutualTLS" };

type Named = readonly (readonly [name: string, scheme: SecurityScheme])[];

/** Each with a name of its own. */
export function namedSchemes(schemes: readonly SecurityScheme[]): Named {
  const names = new Map<string, number>();
  return schemes.map((scheme) => {
    const count = (names.get(scheme.type) ?? 0) + 1;
    names.set(scheme.type, count);
    return [count === 1 ? scheme.type : `${scheme.type}${count}`, scheme];
  });
}

/** `securitySchemes` and `security` up to 0.3: as OpenAPI writes them. */
export function legacySecurity(named: Named) {
  return {
    securitySchemes: Object.fromEntries(named.map(([name, scheme]) => [name, legacyScheme(scheme)])),
    security: named.map(([name, scheme]) => ({ [name]: scopesOf(scheme) })),
  };
}

/** `securitySchemes` and `securityRequirements` of 1.0 (§4.5). */
export function modernSecurity(named: Named) {
  return {
    securitySchemes: Object.fromEntries(named.map(([name, scheme]) => [name, modernScheme(scheme)])),
    securityRequirements: named.map(([name, scheme]) => ({ schemes: { [name]: { list: scopesOf(scheme) } } })),
  };
}

/** `authentication` of 0.1: names of schemes, as OpenAPI has them. */
export function oldAuthentication(named: Named) {
  const words = named.map(([, { type }]) => (type === "bearer" ? "bearer" : type));
  return { schemes: [...new Set(words)] };
}

function legacyScheme(scheme: SecurityScheme): Record<string, unknown> {
  switch (scheme.type) {
    case "apiKey":
      return { type: "apiKey", in: "header", name: scheme.header };
    case "bearer":
      return { type: "http", scheme: "bearer" };
    case "openIdConnect":
      return { type: "openIdConnect", openIdConnectUrl: scheme.url };
    case "oauth2":
      return { type: "oauth2", flows: flowsOf(scheme) };
    case "mutualTLS":
      return { type: "mutualTLS", description: certificate };
  }
}

function modernScheme(scheme: SecurityScheme): Record<string, unknown> {
  switch (scheme.type) {
    case "apiKey":
      return { apiKeySecurityScheme: { location: "header", name: scheme.header } };
    case "bearer":
      return { httpAuthSecurityScheme: { scheme: "bearer" } };
    case "openIdConnect":
      return { openIdConnectSecurityScheme: { openIdConnectUrl: scheme.url } };
    case "oauth2":
      return { oauth2SecurityScheme: { flows: flowsOf(scheme) } };
    case "mutualTLS":
      return { mtlsSecurityScheme: { description: certificate } };
  }
}

function flowsOf({ tokenUrl, scopes }: Extract<SecurityScheme, { type: "oauth2" }>) {
  return { clientCredentials: { tokenUrl, scopes: Object.fromEntries(scopes.map((scope) => [scope, scope])) } };
}

function scopesOf(scheme: SecurityScheme): readonly string[] {
  return "scopes" in scheme ? scheme.scopes : [];
}

const certificate = "a client certificate";
