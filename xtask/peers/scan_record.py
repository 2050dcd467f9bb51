"""What hayward's own tests call bad: `scan_record.py FOLDER SCRATCH ROOT TESTS...` runs them.

Each file that hayward fails at `high` is copied to FOLDER/N/NAME as it was when it was scanned, and
FOLDER/index.json says which test made it: a list of [N/NAME, TEST/NAME, RULES].
"""

import functools
import json
import pathlib
import re
import sys

import pytest
from hayward import Severity, scanner

OUT = pathlib.Path(sys.argv[1])
LARGEST = 1 << 24
SERIOUS = (Severity.CRITICAL, Severity.HIGH)
plain = scanner.ModelFileScanner.scan_file
index, seen, test = [], {}, ""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    global test
    within = item.nodeid.partition("::")[2]
    test = re.sub(r"\s", "_", f"{item.path.name}::{within}")


def pytest_sessionfinish():
    (OUT / "index.json").write_text(json.dumps(index))


@functools.wraps(plain)
def scan_file(self, path, *rest, **named):
    path = pathlib.Path(path)
    content = None
    if path.is_file() and path.stat().st_size < LARGEST:
        content = path.read_bytes()
    findings = list(plain(self, path, *rest, **named))
    rules = sorted({one.rule_id for one in findings if one.severity in SERIOUS})
    if content is not None and rules:
        keep(path.name, content, rules)
    return findings


def keep(name, content, rules):
    same = seen.setdefault((test, name), [])
    if content in same:
        return
    same.append(content)
    place = f"{len(index)}/{name}"
    (OUT / place).parent.mkdir(parents=True)
    (OUT / place).write_bytes(content)
    number = f"#{len(same)}" if len(same) > 1 else ""
    index.append([place, f"{test}/{name}{number}", rules])


def main():
    scanner.ModelFileScanner.scan_file = scan_file
    scratch, root, *tests = sys.argv[2:]
    words = ["-q", "-p", "no:cacheprovider", "--basetemp", scratch, "--rootdir", root, *tests]
    return pytest.main(words, plugins=[sys.modules[__name__]])


if __name__ == "__main__":
    sys.exit(main())
