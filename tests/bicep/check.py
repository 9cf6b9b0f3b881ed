"""The checks of a folder of Bicep files, without the compiler: ``python -m tests.bicep.check FOLDER [TYPES]``."""

import sys
from pathlib import Path

from tests.bicep.names import check_names, module_path
from tests.bicep.rules import check_parameters, check_rules
from tests.bicep.schema import check_resources, load
from tests.bicep.syntax import Finding, faults, read


def check(folder: Path, types: Path | None = None) -> list[Finding]:
    """Return everything wrong with the deployment in *folder*; without Azure's resource *types* what is seen so."""
    known = load(types) if types is not None else {}
    files = {path.resolve(): read(path) for path in sorted(folder.rglob("*.bicep"))}
    found: list[Finding] = []
    for file in files.values():
        broken = list(faults(file))
        found += broken
        if broken:
            continue  # what follows would only repeat it
        if types is not None:
            found += check_resources(file, known)
        found += check_names(file, files, known)
        found += check_rules(file)
    main = files.get((folder / "main.bicep").resolve())
    if main is None:
        return [*found, Finding(folder, 1, "module", "main.bicep is missing")]
    called = {module_path(file, module) for file in files.values() for module in file.of("module").values()}
    found += [
        Finding(file.path, 1, "module", "no module names this file")
        for path, file in files.items()
        if file is not main and path not in called
    ]
    parameters = folder / "main.parameters.json"
    return [*found, *check_parameters(parameters, main)]


def main(arguments: list[str]) -> int:
    """Print what is wrong; return the exit code."""
    found = check(*map(Path, arguments))
    for one in found:
        sys.stdout.write(f"{one}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
