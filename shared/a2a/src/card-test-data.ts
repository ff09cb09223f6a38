const common = {
  name: "Planner",
  description: "Plans trips",
  version: "2.1.0",
  provider: { organization: "Example", url: "https://example.com" },
  documentationUrl: "https://example.com/docs",
  defaultInputModes: ["text/plain", "application/json"],
  defaultOutputModes: ["text/plain"],
  "unknown-member": { kept: [1, 2.5, "three"] },
};
const skill = { id: "plan", name: "Plan", description: "Plans", tags: ["x"], "unknown-member": 1 };
const drop = { id: "drop", name: "Drop", description: "Drops", tags: [], examples: ["drop it"] };

/** Cards as agents of each revision write them, after the examples of the specifications. */
export const cards = {
  "1.0": {
    ...common,
    supportedInterfaces: [
      { url: "https://planner.internal/rpc", protocolBinding: "JSONRPC", protocolVersion: "1.0" },
      { url: "https://planner.internal/grpc", protocolBinding: "GRPC", protocolVersion: "1.0" },
      { url: "https://planner.internal/rest", protocolBinding: "HTTP+JSON", protocolVersion: "1.0", tenant: "t-1" },
    ],
    iconUrl: "https://example.com/icon.png",
    capabilities: {
      streaming: true,
      pushNotifications: true,
      extendedAgentCard: true,
      extensions: [{ uri: "https://example.com/ext/v1", required: false, params: { a: "" } }],
    },
    securitySchemes: { login: { openIdConnectSecurityScheme: { openIdConnectUrl: "https://planner.internal/oidc" } } },
    securityRequirements: [{ schemes: { login: { list: ["x"] } } }],
    skills: [{ ...skill, securityRequirements: [{ schemes: { login: { list: ["x"] } } }] }, drop],
  },
  "0.3": {
    ...common,
    protocolVersion: "0.3.0",
    url: "https://planner.internal/rpc",
    preferredTransport: "JSONRPC",
    additionalInterfaces: [
      { url: "https://planner.internal/rpc", transport: "JSONRPC" },
      { url: "https://planner.internal/grpc", transport: "GRPC" },
      { url: "https://planner.internal/rest", transport: "HTTP+JSON" },
    ],
    capabilities: { streaming: true, pushNotifications: false, stateTransitionHistory: true },
    securitySchemes: { login: { type: "openIdConnect", openIdConnectUrl: "https://planner.internal/oidc" } },
    security: [{ login: ["x"] }],
    skills: [skill, drop],
    supportsAuthenticatedExtendedCard: true,
  },
  "0.2": {
    ...common,
    url: "https://planner.internal/",
    capabilities: { streaming: true, pushNotifications: true, stateTransitionHistory: false },
    securitySchemes: { key: { type: "apiKey", in: "header", name: "x-planner" } },
    security: [{ key: [] }],
    skills: [skill, drop],
  },
  "0.1": {
    ...common,
    url: "https://planner.internal/",
    capabilities: { streaming: true, pushNotifications: false, stateTransitionHistory: false },
    authentication: { schemes: ["Bearer"] },
    skills: [skill],
  },
} as const;
