import { AuditLog } from "@sluice/bus";
import { databaseOptions, type BaseConfig, type Context } from "@sluice/runtime";
import type { AuditConfig } from "../config.ts";
import { answerErasures } from "./answer-erasures.ts";
import { Keeper } from "./keeper.ts";
import { startRetention } from "./retention.ts";

/** What is deleted of the trail: by `retentionDays`, and of people who are to be forgotten. @throws ConfigError */
export function startKeeper(context: Context<AuditConfig & BaseConfig>): void {
  const { AUDIT_KEEPER_DATABASE_URL: url, AUDIT_RETENTION_INTERVAL_MS: everyMs } = context.config;
  if (url === undefined) return answerErasures(context, undefined);
  const { bus, scope } = context;
  const keeper = scope.use(new Keeper(databaseOptions({ ...context.config, DATABASE_URL: url }, context)));
  startRetention(context, { keeper, trail: scope.use(new AuditLog(bus)), everyMs });
  answerErasures(context, keeper);
}
