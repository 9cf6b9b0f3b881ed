#!/bin/sh
# Makes .venv and installs one requirements file into it: sh localhost/venv.sh FILE
# A stamp holds the checksum of all requirements files, so that nothing is done when nothing changed.
# PYTHON names the interpreter to use; else the newest of the versions that Azure Functions runs is taken.
set -eu
file=$1
stamp=.venv/installed-$(printf %s "$file" | tr / -)
state="$(cat requirements.txt localhost/requirements.txt tests/requirements.txt | cksum) ${PYTHON:-}"

if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$state" ]; then
    exit 0
fi

is_suitable() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

is_the_wanted_one() {
    [ -z "${PYTHON:-}" ] || [ "$("$PYTHON" --version 2>/dev/null)" = "$("$1" --version)" ]
}

if ! is_suitable .venv/bin/python || ! is_the_wanted_one .venv/bin/python || ! .venv/bin/python -m pip --version >/dev/null 2>&1
then
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.13 python3.12 python3.11 python3
    fi
    found=
    for candidate; do
        if is_suitable "$candidate"; then
            found=$candidate
            break
        fi
    done
    if [ -z "$found" ]; then
        echo "No suitable Python found${PYTHON:+ as $PYTHON}: version 3.11, 3.12 or 3.13 is needed; name one with PYTHON=/path/to/python3." >&2
        exit 1
    fi
    if ! "$found" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "$found cannot make virtual environments: its venv or ensurepip module is missing (on Debian and Ubuntu install python3-venv)." >&2
        exit 1
    fi
    echo "Making .venv with $("$found" --version)." >&2
    "$found" -m venv --clear .venv
fi

echo "Installing $file into .venv; this happens only when requirements change." >&2
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement "$file"
printf '%s\n' "$state" >"$stamp"
