"""Asks OPA (package opa-golib-python-bindings) and prints its answers as JSON.

Reads one JSON document from standard input: a list of jobs {"policies": {path: text}, "query":
"pkg.rule", "inputs": [...]}. Writes a list, for each job a list with one answer for each input:
{"value": ...}, "undefined" or "error"; a job whose policies OPA rejects has "error" throughout.
"""

import json
import sys

import opa_bindings


def answer(engine, query, document):
    try:
        return {"value": engine.eval_document(query, document)}
    except opa_bindings.OpaUndefinedError:
        return "undefined"
    except opa_bindings.OpaError as error:
        return "undefined" if "is undefined" in str(error) else "error"


def run(job):
    with opa_bindings.OpaEngine() as engine:
        engine.print_handler = lambda *_: None
        try:
            for path, text in job["policies"].items():
                engine.add_policy(path, text)
        except opa_bindings.OpaError:
            return ["error" for _ in job["inputs"]]
        return [answer(engine, job["query"], document) for document in job["inputs"]]


json.dump([run(job) for job in json.load(sys.stdin)], sys.stdout)
