#!/bin/sh
# Gives the app its user in the database and migrates the schema.
set -eu
cd "$(dirname "$0")/../.."
if [ ! -x .build/deploy/bin/python ]; then
    sh bicep/hooks/preprovision.sh
fi
exec .build/deploy/bin/python bicep/hooks/database.py
