#!/bin/sh
# Makes the environment that the database is set up from, and finds out what is missing before anything costs money.
set -eu
cd "$(dirname "$0")/../.."
python=
for candidate in python3.13 python3.12 python3.11 python3; do
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "Python 3.11 or newer is needed." >&2
    exit 1
fi
[ -x .build/deploy/bin/python ] || "$python" -m venv .build/deploy
.build/deploy/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
exec .build/deploy/bin/python bicep/hooks/database.py --check
