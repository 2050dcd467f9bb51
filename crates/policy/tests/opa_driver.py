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


def engine_for(policies):
    """Returns an engine with these policies, the last one if they have not changed."""
    if engine_for.policies != policies:
        engine_for.engine = opa_bindings.OpaEngine()
        engine_for.engine.print_handler = lambda *_: None
        engine_for.policies = policies
        for path, text in policies.items():
            engine_for.engine.add_policy(path, text)
    return engine_for.engine


engine_for.policies = None


def run(job):
    try:
        engine = engine_for(job["policies"])
    except opa_bindings.OpaError:
        engine_for.policies = None
        return ["error" for _ in job["inputs"]]
    return [answer(engine, job["query"], document) for document in job["inputs"]]


json.dump([run(job) for job in json.load(sys.stdin)], sys.stdout)
