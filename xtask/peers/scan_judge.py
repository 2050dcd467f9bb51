"""What another scanner says about files: `scan_judge.py TOOL LIST`.

LIST has a path a line. Prints a JSON list: `found` where the tool with its own settings fails the
file, `nothing` where it passes it, `undecided` where it says that it could not tell, raises, or does
not come back. Each file is judged in a child, so that none can spoil the next.
"""

import contextlib
import json
import logging
import os
import select
import signal
import sys
import warnings
import zipfile

SECONDS = 120


def picklescan():
    from picklescan.scanner import scan_file_path

    def judge(path):
        result = scan_file_path(path)
        if result.issues_count:
            return "found"
        return "undecided" if result.scan_err else "nothing"

    return judge


def modelscan():
    from modelscan.modelscan import ModelScan

    def judge(path):
        result = ModelScan().scan(path)
        if result["summary"]["total_issues"]:
            return "found"
        if result["errors"] or not result["summary"]["scanned"]["total_scanned"]:
            return "undecided"
        return "nothing"

    return judge


def fickling():
    from fickling.loader import scan_file, scan_zip_archive

    names = (".bin", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth")

    def judge(path):
        with open(path, "rb") as file:
            head = file.read(2)
        # It knows pickles alone, and takes anything else for a broken one.
        if head[:1] != b"\x80" and head != b"PK" and not path.endswith(names):
            return "undecided"
        if zipfile.is_zipfile(path):
            results = scan_zip_archive(path, graceful=True)
        else:
            results = [scan_file(path, graceful=True)]
        # What it cannot parse it calls unsafe as well; that is no finding.
        if any(result.results and not result.is_safe for result in results):
            return "found"
        if not results or any(result.errors or not result.is_safe for result in results):
            return "undecided"
        return "nothing"

    return judge


def modelaudit():
    from modelaudit.core import determine_exit_code, scan_model_directory_or_file

    def judge(path):
        code = determine_exit_code(scan_model_directory_or_file(path, timeout=SECONDS))
        return {0: "nothing", 1: "found"}.get(code, "undecided")

    return judge


def hayward():
    from hayward import ModelFileScanner, Severity, is_coverage_gap

    def judge(path):
        findings = list(ModelFileScanner().scan_file(path))
        if any(f.severity in (Severity.CRITICAL, Severity.HIGH) for f in findings):
            return "found"
        return "undecided" if any(map(is_coverage_gap, findings)) else "nothing"

    import pathlib

    return lambda path: judge(pathlib.Path(path))


def in_child(judge, path):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "undecided"
        # A tool may print, raise, or leave.
        with contextlib.suppress(BaseException):
            answer = judge(path)
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    ready, _, _ = select.select([read], [], [], SECONDS)
    answer = os.read(read, 64).decode() if ready else ""
    os.close(read)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return answer or "undecided"


def main():
    tools = {tool.__name__: tool for tool in (picklescan, modelscan, fickling, modelaudit, hayward)}
    out = os.dup(1)
    # What tools print belongs nowhere.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    judge = tools[sys.argv[1]]()
    with open(sys.argv[2]) as listing:
        answers = [in_child(judge, line.rstrip("\n")) for line in listing]
    os.write(out, json.dumps(answers).encode())


if __name__ == "__main__":
    main()
