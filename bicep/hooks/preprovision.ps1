# Makes the environment that the database is set up from, and finds out what is missing before anything costs money.
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '../..')
$folder = if ($IsLinux -or $IsMacOS) { 'bin' } else { 'Scripts' }
$python = ".build/deploy/$folder/python"
if (-not (Get-Command $python -ErrorAction SilentlyContinue)) {
    $found = @('python3', 'python', 'py') | Where-Object {
        if (-not (Get-Command $_ -ErrorAction SilentlyContinue)) { return $false }
        & $_ -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>$null
        $LASTEXITCODE -eq 0
    } | Select-Object -First 1
    if (-not $found) { throw 'Python 3.11 or newer is needed.' }
    & $found -m venv .build/deploy
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}
& $python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
& $python bicep/hooks/database.py --check
exit $LASTEXITCODE
