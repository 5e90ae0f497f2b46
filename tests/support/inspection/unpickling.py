"""No module unpickles or runs text, and what a peer sends is never unpickled."""

import ast
import os
import pickle

FORBIDDEN = {
    "pickle", "_pickle", "cPickle", "pickletools", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle",
    "yaml", "code", "codeop",
}
RUNNERS = {"eval", "exec", "compile", "__import__"}
LOADERS = {("numpy", "load"), ("np", "load"), ("pa", "deserialize"), ("pandas", "read_pickle"),
           ("pd", "read_pickle"), ("torch", "load")}


def source(place, text):
    """Imports and calls in one module's source that make bytes into behaviour."""
    findings = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                used = [n.name for n in names if n.name.partition(".")[0] in FORBIDDEN]
            case ast.ImportFrom(module=module, names=names):
                used = [module] if (module or "").partition(".")[0] in FORBIDDEN else []
                used += [n.name for n in names if n.name in FORBIDDEN - {"code"}]
            case ast.Call(func=ast.Name(id=name)) if name in RUNNERS:
                used = [f"{name}()"]
            case ast.Call(func=ast.Attribute(value=ast.Name(id="importlib"), attr="import_module"), args=[argument, *_]):
                used = ["import_module(…)"] if _imports_forbidden(argument) else []
            case ast.Call(func=ast.Attribute(value=ast.Name(id=module), attr=name)) if (module, name) in LOADERS:
                used = [f"{module}.{name}()"]
            case ast.keyword(arg="allow_pickle", value=value) if getattr(value, "value", True):
                used = ["allow_pickle"]
            case ast.keyword(arg=("serializer" | "value_serializer" | "key_serializer"), value=ast.Constant(value=str() as v)) \
                    if "pickle" in v:
                used = [f"serializer {v}"]
            case _:
                used = []
        findings += [f"{place}:{getattr(node, 'lineno', '?')} {what}" for what in used]
    return findings


def _imports_forbidden(argument):
    """Whether import_module's argument is, or may be, a forbidden module: text that begins with a package's name is not."""
    match argument:
        case ast.Constant(value=str() as name):
            return name.partition(".")[0] in FORBIDDEN
        case ast.JoinedStr(values=[ast.Constant(value=str() as name), *_]) if "." in name:
            return name.partition(".")[0] in FORBIDDEN
    return True


class Bomb:
    """Unpickling it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def loads(reader, folder):
    """What happens when a peer's pickles reach `reader`: they run, or come back as objects.

    Args:
        reader: takes bytes; refuses by raising, but not what a wrong call raises: that would look like a refusal.
        folder: where a bomb leaves its mark.
    """
    findings, mark = [], folder / "executed"
    for what, payload in (
        ("a bomb", pickle.dumps(Bomb(mark))), ("a padded bomb", pickle.dumps(Bomb(mark)).ljust(320, b".")),
        ("a list", pickle.dumps([1, 2])), ("a number", pickle.dumps(7)),
    ):
        try:
            found = reader(payload)
        except (TypeError, AttributeError, NameError) as error:
            found = None
            findings.append(f"{what} met a reader that reads nothing: {error}")
        except Exception:
            found = None
        if mark.exists():
            findings.append(f"{what} was executed")
            mark.rmdir()
        elif isinstance(found, int | list | str | dict) and not hasattr(found, "dtype"):
            findings.append(f"{what} came back as {type(found).__name__}")
    return findings
