"""Lists the classes of Python packages whose objects may be made and given their state.

    python3 objects.py WHEEL... > objects.txt

Reads the sources in the wheels, and runs none of them. Making an object as pickles do calls
`__new__`, `__setstate__`, `__setattr__` and, for items, `__setitem__`, `append`, `extend`: a class
that defines one of these with anything in it that could load, run, read or send is left out, and so
is one that is derived from what does.
"""

import ast
import collections
import re
import sys
import zipfile

CALLED = {"__new__", "__setstate__", "__setattr__", "__setitem__", "append", "extend", "update",
          "__getattr__", "__getattribute__", "__hash__", "__eq__", "__del__"}
RISK = re.compile(
    r"\b(exec|eval|compile|open|import_module|__import__|os|sys|subprocess|socket|load|loads|pickle"
    r"|read|write|urlopen|requests|unlink|remove|rmtree|shutil|torch\.jit|_load\w*|load_\w+)\b(?=[.(])")
LEFT_OUT = re.compile(
    r"(^|\.)(tests?|testing|_testing|conftest|examples?|benchmarks?|externals|setup|_build\w*|hub"
    r"|scripts?|cli|commands?|conda|distributed|rpc|fx|package|jit|_dynamo|_inductor|onnx|export"
    r"|_export|multiprocessing|serialization|io|datasets|utils\.cpp_extension|compat|plotting"
    r"|download\w*|parallel|launch\w*|notebook|server|loggers|profilers?)(\.|$)")
BASES = re.compile(r"(Thread|Process|Popen|Loader|Unpickler|IOBase|Finder|Handler|Server|Connection"
                   r"|Reader|Writer|Downloader|Module[A-Z]\w*Type|ModuleType|Path)$")


def last(node):
    while isinstance(node, ast.Subscript):
        node = node.value
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "?")


def classes(module, tree, text):
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        bases = [last(base) for base in node.bases]
        if any(BASES.search(base) for base in [*bases, node.name]):
            continue
        risky = any(
            isinstance(item, ast.FunctionDef) and item.name in CALLED
            and RISK.search(ast.get_source_segment(text, item) or "")
            for item in node.body)
        yield node.name, bases, risky


def main(wheels):
    found = collections.defaultdict(dict)
    kinds, bad = {}, set()
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.namelist():
                if not entry.endswith(".py") or ".dist-info" in entry or ".data/" in entry:
                    continue
                module = entry[:-3].replace("/", ".").removesuffix(".__init__")
                if LEFT_OUT.search(module):
                    continue
                try:
                    text = archive.read(entry).decode()
                    tree = ast.parse(text)
                except (SyntaxError, UnicodeDecodeError, ValueError):
                    continue
                for name, bases, risky in classes(module, tree, text):
                    found[module][name] = bases
                    if risky:
                        bad.add(name)
                    if set(bases) & {"dict", "OrderedDict", "defaultdict", "UserDict", "Counter"}:
                        kinds[name] = "mapping"
                    if any(base.endswith(("Enum", "Flag")) for base in bases):
                        kinds[name] = "type"
                    if set(bases) & {"list", "UserList", "deque", "set"}:
                        kinds[name] = "sequence"
    # What is derived from a class that was left out is left out, by name: rather too much.
    changed = True
    while changed:
        changed = False
        for names in found.values():
            for name, bases in names.items():
                if name not in bad and any(base in bad for base in bases):
                    bad.add(name)
                    changed = True
    print("# Written by objects.py: classes whose objects may be made and given their state.")
    for module in sorted(found):
        names = [name + ("=" + kinds[name] if name in kinds else "")
                 for name in sorted(found[module]) if name not in bad]
        if names:
            print(module, *names)


main(sys.argv[1:])
