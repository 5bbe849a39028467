"""Every English text that is shown to people, collected from the source as catalogues key them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import equipoise
from equipoise._core.codes import CODES
from equipoise.report.template_texts import translate_template

ROOT = Path(equipoise.__file__).parent
SECTIONS = {
    "findings": "diagnosis/*.py splits/leakage.py splits/copies.py comparison/baseline.py",
    "audit": "audit/*.py sampling/report.py",
    "decisions": (
        "comparison/[!b]*.py artifacts/comparison.py artifacts/evaluation.py artifacts/finding.py "
        "artifacts/estimate.py artifacts/row_marks.py artifacts/rule.py artifacts/evidence.py "
        "decisions/*.py"
    ),
    "page": "report/*.py",
    "terminal": "cli/*.py",
}
# They hold names and settings, or read what users wrote.
NOT_SHOWN = [
    "diagnosis/_vocabulary.py",
    "diagnosis/logs.py",
    "diagnosis/setup.py",
    "diagnosis/class_table.py",
    "audit/from_text.py",
    "audit/_torch.py",
    "report/model_card.py",
    "report/displays.py",
    "decisions/objectives.py",
    "cli/main.py",
    "cli/options.py",
    "cli/objective.py",
    "cli/mine.py",
    "cli/train.py",
    "cli/init.py",
]
# What they are given is an error, the text of an option, or code.
_SILENT = [
    "say",
    "UsageError",
    "DataError",
    "ShapeError",
    "LeakageError",
    "MissingExtraError",
    "NotRecoverableError",
    "require_shape",
    "require_type",
    "one_of",
    "reading_file",
    "Option",
    "Argument",
    "compile",
    "sub",
    "findall",
    "search",
    "fullmatch",
    "closest",
    "Literal",
    "NotImplementedError",
    "warn",
    "quote",
    "echo_command",
]
_ASIDE = ("do", "got", "expected", "EXAMPLE", "command")
_CODE = re.compile(
    r"""^[\w./*-]+$  # a name or a path
    | ^(Examples?:[ ]|[ ]{6})?equipoise[ ]  # a command
    | <\w|</|\\|default-src  # markup, patterns, a policy
    | ^\w+=\[  # a setting of a study
    | nl,nl|^(square|loss|prob)[ ]squared$  # sums and tables of products
    | ^[\w ]*\[|^outside[ ][lru]|upper[ ]left|^Chapter[ ]read  # annotations, places in a figure
    | ^[A-Z]\w+[ ][A-Z]\w+([ ][A-Z]\w+)*$  # fonts
    | ^(be|lie|come[ ]with)[ ]  # what an error expects""",
    re.VERBOSE,
)


def _noun(node: ast.AST) -> str | None:
    """Return the noun of ``counted(number, noun)``, None for another node."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "counted":
        found = node.args[1]
        if isinstance(found, ast.Constant):
            return str(found.value)
    return None


def _hole(part: ast.AST) -> str:
    """Return what stands for a part of an f-string: "{}", or "{} seed{}" for a number of them."""
    noun = _noun(part.value) if isinstance(part, ast.FormattedValue) else None
    return "{}" if noun is None else f"{{}} {noun}{{}}"


def template_of(node: ast.AST) -> str | None:
    """Return the text of a constant, an f-string or a sum of them, {} for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else _hole(part)
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [template_of(side) for side in (node.left, node.right)]
        if sides != [None, None]:
            return "".join("{}" if side is None else side for side in sides)
    return None


def _inner(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what fills the holes of a text."""
    if isinstance(node, ast.JoinedStr):
        filled = (part.value for part in node.values if isinstance(part, ast.FormattedValue))
        yield from (value for value in filled if _noun(value) is None)
    elif isinstance(node, ast.BinOp):
        for side in (node.left, node.right):
            if template_of(side) is None:
                yield side
            else:
                yield from _inner(side)


def _texts(node: ast.AST, aside: set[int]) -> Iterator[str]:
    if id(node) in aside or isinstance(node, ast.Raise):
        return
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in _ASIDE:
        return
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if name in _SILENT:
            return
    told = template_of(node)
    if told is not None:
        yield told
        for inner in _inner(node):
            yield from _texts(inner, aside)
        return
    for child in ast.iter_child_nodes(node):
        yield from _texts(child, aside)


def _docstrings(tree: ast.AST) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", ())
        for statement in body if isinstance(body, list) else ():
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                found.add(id(statement.value))
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                found.add(id(getattr(node, name)))
    return found


def sentences(text: str) -> list[str]:
    """Return the keys that a text is looked up by: its sentences, arguments of hints as holes."""
    text = re.sub(r"\{\w+[=:][^{}]*\}", "{}", text)
    parts = re.split(r"(?<=[.?!])(?<!e\.g\.) (?=\S)", text.strip())
    kept = [part.strip().removesuffix(".") for part in parts]
    return [part for part in kept if re.search("[A-Za-z]{2}", re.sub(r"\{\w*\}", "", part))]


def is_prose(text: str) -> bool:
    """Whether a text is made of words, and is no name, option, pattern or command."""
    words = re.findall(r"[A-Za-z]{2,}", re.sub(r"\{[^{} ]*\}", "", text))
    return len(words) > 1 and " " in text.strip() and not _CODE.search(text)


def of_module(file: Path) -> list[str]:
    """Return the texts of a module that people read, as keys."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = [t for t in _texts(tree, _docstrings(tree)) if is_prose(t)]
    return list(dict.fromkeys(key for text in found for key in sentences(text)))


def of_template(file: Path) -> list[str]:
    """Return the texts of a template, as keys."""
    found: list[str] = []
    translate_template(file.read_text(encoding="utf-8"), lambda text: found.append(text))
    return list(dict.fromkeys(found))


def shown_texts() -> dict[str, list[str]]:
    """Return section -> English texts that its catalogue must have."""
    from equipoise.methods import METHODS
    from equipoise.studies.baselines import BASELINES
    from equipoise.studies.recipe import load_recipe, recipe_names

    made = {"titles": [code.title for code in CODES.values()]}
    for section, patterns in SECTIONS.items():
        files = [file for pattern in patterns.split() for file in sorted(ROOT.glob(pattern))]
        shown = [f for f in files if f.relative_to(ROOT).as_posix() not in NOT_SHOWN]
        made[section] = [key for file in shown for key in of_module(file)]
    made["templates"] = []
    for file in sorted((ROOT / "report" / "templates").glob("*.j2")):
        made["templates"] += of_template(file)
    listed = [*METHODS.values(), *BASELINES.values()]
    made["methods"] = [m.summary.removesuffix(".") for m in listed]
    recipes = [load_recipe(name) for name in recipe_names()]
    told = [text for r in recipes for text in (r.title, r.story)]
    for part in (sized for r in recipes for sized in (r.small, r.full)):
        told += [part.needs, *part.files.values()]
    made["recipes"] = [key for text in told for key in sentences(text)]
    return {name: list(dict.fromkeys(texts)) for name, texts in made.items()}
