#!/bin/sh
# Becomes the service that is named, so that it gets the container's signals itself.
cd "$(dirname "$0")/.." || exit 1
case "$1" in */*) main= ;; *) main="services/$1/dist/main.js" ;; esac
if [ $# -ne 1 ] || [ ! -f "$main" ]; then
  echo "name one service to run: $(ls services | tr '\n' ' ')" >&2
  exit 64
fi
exec node --enable-source-maps --max-semi-space-size=32 --import ./shared/telemetry/dist/register.js "$main"
