// Ends with 0 where this container's service answers 200 at the path given: /health (alive) or /ready (takes work).
const path = process.argv[2] ?? "/health";
const answer = await fetch(`http://127.0.0.1:${process.env.HEALTH_PORT}${path}`).catch(() => undefined);
process.exitCode = answer?.ok ? 0 : 1;
