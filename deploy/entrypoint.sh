#!/bin/sh
# Becomes the service that is named, so that it gets the container's signals itself; audit-migrate prepares the database and ends.
cd "$(dirname "$0")/.." || exit 1
case "$1" in
  audit-migrate) main=services/audit/dist/migrate.js ;;
  */*) main= ;;
  *) main="services/$1/dist/main.js" ;;
esac
if [ $# -ne 1 ] || [ ! -f "$main" ]; then
  echo "name one service to run: $(ls services | tr '\n' ' ')audit-migrate" >&2
  exit 64
fi
exec node --enable-source-maps --max-semi-space-size=32 --import ./shared/telemetry/dist/register.js "$main"
