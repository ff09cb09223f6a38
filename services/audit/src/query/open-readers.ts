import { databaseOptions, type BaseConfig, type Context } from "@sluice/runtime";
import type { AuditConfig } from "../config.ts";
import type { QueryOptions } from "./answer-questions.ts";
import { TrailReader } from "./trail-reader.ts";

/** The trail is read with a login of its own, or the writer's; content with one of its own alone. @throws ConfigError */
export function openReaders(context: Context<AuditConfig & BaseConfig>): QueryOptions {
  const { config, scope } = context;
  const open = (url: string) => scope.use(new TrailReader(databaseOptions({ ...config, DATABASE_URL: url }, context)));
  const { AUDIT_CONTENT_DATABASE_URL: content } = config;
  return {
    trail: open(config.AUDIT_READER_DATABASE_URL ?? config.DATABASE_URL),
    ...(content !== undefined && { content: open(content) }),
  };
}
