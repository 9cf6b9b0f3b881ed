# Gives the app its user in the database and migrates the schema.
$ErrorActionPreference = 'Stop'
Set-Location (Join-Path $PSScriptRoot '../..')
$folder = if ($IsLinux -or $IsMacOS) { 'bin' } else { 'Scripts' }
$python = ".build/deploy/$folder/python"
if (-not (Get-Command $python -ErrorAction SilentlyContinue)) {
    & (Join-Path $PSScriptRoot 'preprovision.ps1')
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
}
& $python bicep/hooks/database.py
exit $LASTEXITCODE
