"""Reports of a scan against their schemas: `scan_reports.py OURS SARIF FILE...`

OURS and SARIF are JSON schemas. What a file is, its name says: *.cdx.json is CycloneDX, whose schema
comes with its library, *.sarif is SARIF, and any other *.json is our own report. Prints a JSON object
with the faults of each file that has any.
"""

import json
import pathlib
import sys

import jsonschema
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def by_schema(path):
    schema = json.loads(pathlib.Path(path).read_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    checker = kind(schema, format_checker=kind.FORMAT_CHECKER)

    def faults(text):
        return [f"{fault.json_path}: {fault.message}" for fault in checker.iter_errors(json.loads(text))]

    return faults


def cyclonedx(text):
    fault = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if fault is not None:
        return [str(fault.data)]
    bom = Bom.from_json(json.loads(text))
    known = {str(component.bom_ref) for component in bom.components}
    affected = {target.ref for vulnerability in bom.vulnerabilities for target in vulnerability.affects}
    return [f"no component {ref}" for ref in affected - known]


def main():
    ours, sarif, *files = sys.argv[1:]
    kinds = {".cdx.json": cyclonedx, ".sarif": by_schema(sarif), ".json": by_schema(ours)}
    answer = {}
    for file in files:
        judge = next(judge for end, judge in kinds.items() if file.endswith(end))
        faults = judge(pathlib.Path(file).read_text())
        if faults:
            answer[pathlib.Path(file).name] = [fault[:400] for fault in faults[:5]]
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
