"""The pages that are made when the documentation is built: findings, methods, commands, API.

Each function returns file -> text, files relative to this folder; ``conf.py`` writes them. Nothing
on these pages is kept by hand: they come from the catalogue, the command line and the packages.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import typer

import equipoise
from equipoise._core.codes import CODES
from equipoise.cli.console import FAILED_FINDING
from equipoise.cli.main import INTERRUPTED, PIPE_CLOSED, TERMINATED, app
from equipoise.errors import DataError, EquipoiseError, UsageError
from equipoise.methods import METHODS, Method, method_card
from equipoise.sampling.rule_table import rule_tables

Pages = dict[str, str]
SOURCE = Path(equipoise.__file__).parent


def finding_pages() -> Pages:
    """Return the pages that ship with the package, so they have one source, and their index."""
    pages = SOURCE / "diagnosis" / "pages"
    found = {f"findings/{p.name}": p.read_text("utf-8") for p in sorted(pages.glob("EQ*.md"))}
    listed = "\n".join(Path(name).stem for name in found)
    found["findings/index.md"] = (
        f"# Findings\n\nOne page per code; `equipoise diagnose --explain EQ104` prints it.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    )
    return found


# Methods -----------------------------------------------------------------------------------------

FAMILIES = {
    "baseline": "The untreated model",
    "loss": "Losses",
    "sampler": "Samplers: which rows are drawn",
    "mixing": "Mixing: blends of rows",
    "schedule": "Schedules: treated late",
    "two_stage": "Second stages",
    "resampling": "Synthetic rows, for tables alone",
    "bagging": "Balanced models, for tables alone",
}


def method_pages() -> Pages:
    """Return a card per method, and the table of all, by family."""
    lines = [
        "# Methods",
        "",
        "One card per method; `equipoise methods NAME` prints it, and `equipoise methods` this",
        "table. An arm by default (*) is in every comparison that names no arms. How far an output",
        "is taken back to the true probability is said under *undone*: exact, approximate, or",
        "none, where a fitted calibrator is compulsory. `A+B` joins methods, one of each family.",
        "`none + thresholds`, the untreated model with tuned thresholds, is always an arm.",
        "What was measured names its story, or its file in `benchmarks/results`.",
    ]
    for family, title in FAMILIES.items():
        lines += ["", f"## {title}", "", "| method | labels | undone | what it does |"]
        lines.append("|---|---|---|---|")
        for method in METHODS.values():
            if method.family == family:
                lines.append("| " + " | ".join(_method_row(method)) + " |")
    listed = "\n".join(METHODS)
    lines += ["", f"```{{toctree}}\n:hidden:\n\n{listed}\n```", ""]
    cards = {f"methods/{name}.md": linked_card(name) for name in METHODS}
    return {"methods/index.md": "\n".join(lines), **cards}


def _method_row(method: Method) -> tuple[str, ...]:
    star = " *" if method.first_choice else ""
    kinds, exact = ", ".join(method.kinds), ", ".join(dict.fromkeys(method.exactness.values()))
    return f"[`{method.name}`]({method.name}.md){star}", kinds, exact, method.summary


def linked_card(name: str) -> str:
    """Return a method's card with links to what it names: methods, findings, sources, the API."""
    head, _, source = method_card(name).partition("\n## Source\n\n")
    if METHODS[name].reference != "-":
        reference, _, rest = source.partition("\n\n")
        source = f"{_cited(reference)}\n\n{rest}"
    return _linked(f"{head}\n## Source\n\n{source}", name)


def slugs(reference: str) -> Iterator[tuple[str, str | None]]:
    """Yield the parts of a reference, each with its place in the bibliography where it has one.

    Example:
        >>> list(slugs("Cao et al., NeurIPS 2019, eq. 13; MONAI"))
        [('Cao et al., NeurIPS 2019, eq. 13', 'cao-2019'), ('MONAI', None)]
    """
    for part in re.split(r"; ", reference):
        found = re.search(r"\b([A-Z][a-z]+)\b[^;]*?\b((?:19|20)\d\d)\b", part)
        yield part, None if found is None else f"{found[1].lower()}-{found[2]}"


def _cited(reference: str) -> str:
    parts = slugs(reference.removesuffix("."))
    return "; ".join(text if slug is None else f"[{text}](#{slug})" for text, slug in parts) + "."


def _linked(text: str, own: str) -> str:
    """Link codes and names outside formulas and blocks."""
    pieces = re.split(r"(\$\$.*?\$\$|```.*?```)", text, flags=re.DOTALL)
    pieces[::2] = [_links(piece, own) for piece in pieces[::2]]
    return "".join(pieces)


def _links(text: str, own: str) -> str:
    text = re.sub(r"`(equipoise\.[\w.]+)`", r"{py:obj}`\1`", text)
    text = re.sub(
        r"\bEQ\d{3}\b",
        lambda m: f"[{m[0]}](../findings/{m[0]}.md)" if m[0] in CODES else m[0],
        text,
    )
    text = re.sub(
        r"(?<![\[\}])`(\w+)`(?!\])",
        lambda m: f"[`{m[1]}`]({m[1]}.md)" if m[1] in METHODS and m[1] != own else m[0],
        text,
    )
    return re.sub(
        r"^- ([\w-]+), small",
        lambda m: f"- [{m[1]}](../stories/{m[1]}.md), small",
        text,
        flags=re.MULTILINE,
    )


# Commands ----------------------------------------------------------------------------------------

EXIT_CODES: Mapping[int, str] = {
    0: "fine",
    EquipoiseError.exit_code: "the run failed: a training, a disk, memory, or a fault of ours",
    UsageError.exit_code: "wrong use: an unknown option, method or key; a package that is missing",
    DataError.exit_code: "bad data, rows on both sides of a split included",
    FAILED_FINDING: "a finding at or above `--fail-on`",
    INTERRUPTED: "interrupted (Ctrl-C); finished trials are kept",
    PIPE_CLOSED: "the reader of a pipe went away",
    TERMINATED: "ended by SIGTERM; finished trials are kept",
}


def command_pages() -> Pages:
    """Return the page of all verbs, as their ``--help`` has them."""
    group: Any = typer.main.get_command(app)
    whole = group.context_class(group, info_name="equipoise")
    lines = [
        "# Commands",
        "",
        f"{group.help}",
        "",
        "Every verb has `--help` with an example. Results go to standard output, progress and",
        "notes to standard error. `EQUIPOISE_LANG=zh` is `--lang zh` for all of them, and",
        "`EQUIPOISE_DEBUG=1` shows the traceback of an error.",
        "",
        "| verb | what it does |",
        "|---|---|",
        *(f"| [`{name}`](#{name}) | {_cell(c.help)} |" for name, c in group.commands.items()),
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
        *(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items()),
    ]
    for name, command in group.commands.items():
        lines += ["", f"## {name}", "", *_verb(command, name, whole)]
    return {"commands.md": "\n".join([*lines, ""])}


def _verb(command: Any, name: str, whole: Any) -> Iterator[str]:
    context = command.context_class(command, info_name=name, parent=whole)
    yield command.help
    yield f"\n```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```"
    for kind, title in (("argument", "argument"), ("option", "option")):
        records = [
            parameter.get_help_record(context)
            for parameter in command.get_params(context)
            if parameter.param_type_name == kind
        ]
        if records:
            yield f"\n| {title} | what it is |\n|---|---|"
            yield from (
                f"| `{_cell(spelt)}` | {_cell(told)} |" for spelt, told in filter(None, records)
            )
    head, _, examples = command.epilog.partition(": ")
    yield f"\n{head}:\n\n```sh\n" + "\n".join(_lines(examples)) + "\n```"
    if any(parameter.name == "fail" for parameter in command.params):
        yield f"\nExits with {FAILED_FINDING} on a finding at or above `--fail-on`."


def _lines(examples: str) -> list[str]:
    return [line.strip() for line in re.split(r"\n|; (?=equipoise )", examples) if line.strip()]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


# API ---------------------------------------------------------------------------------------------

FACE = "equipoise"
MODULES = ("equipoise.errors", "equipoise.labels.losses", "equipoise.methods.regions")
"""Modules beside the packages: errors, settings that losses share, losses of MONAI."""


class Documented(NamedTuple):
    """One public name, and where it is documented."""

    module: str
    name: str
    value: Any


def public_modules() -> list[str]:
    """Return the packages that say what is public, those nearest to the face first, it last."""
    folders = [p.parent.relative_to(SOURCE.parent) for p in SOURCE.rglob("__init__.py")]
    names = [".".join(folder.parts) for folder in folders]
    said = [
        name
        for name in names
        if not re.search(r"\._", name) and name != FACE and hasattr(_module(name), "__all__")
    ]
    return [*sorted(said, key=lambda name: (name.count("."), name)), *MODULES, FACE]


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


def public_names(module: str) -> list[str]:
    """Return what a module says is public, or, where it says nothing, what it defines."""
    made = _module(module)
    said = getattr(made, "__all__", None)
    if said is not None:
        return sorted(said, key=str.lower)
    own = inspect.getmembers(made, lambda v: getattr(v, "__module__", "") == module)
    return [name for name, _ in own if not name.startswith("_")]


def documented() -> list[Documented]:
    """Return every public name once: a name that several packages give, in the first of them."""
    found: dict[object, Documented] = {}
    for module in public_modules():
        for name in public_names(module):
            value = getattr(_module(module), name)
            if not inspect.ismodule(value):
                found.setdefault(_key(value, name), Documented(module, name, value))
    return list(found.values())


def _key(value: Any, name: str) -> object:
    """Return what two names of the same thing share: classes and functions have an identity."""
    return id(value) if inspect.isclass(value) or callable(value) else (id(value), name)


def api_pages() -> Pages:
    """Return a page per package, and the index of them with the names of the face."""
    every = documented()
    by_module: dict[str, list[Documented]] = {}
    for item in every:
        by_module.setdefault(item.module, []).append(item)
    home = {_key(item.value, item.name): item for item in every}
    pages = {f"api/{name}.md": _api_page(name, items) for name, items in by_module.items()}
    lines = [
        "# API",
        "",
        "What stands in `__all__` of a package is public, and documented once. What is imported",
        "from `equipoise` itself is loaded on first use, and documented where it is from:",
        "",
        "| name | documented as |",
        "|---|---|",
    ]
    for name in public_names(FACE):
        item = home[_key(getattr(_module(FACE), name), name)]
        if item.module != FACE:
            lines.append(f"| `equipoise.{name}` | {{py:obj}}`{item.module}.{item.name}` |")
    listed = "\n".join(sorted(by_module))
    lines += ["", f"```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```", ""]
    return {"api/index.md": "\n".join(lines), **pages}


def _api_page(module: str, items: list[Documented]) -> str:
    lines = [f"# {module}", "", "```{eval-rst}", f".. automodule:: {module}", ""]
    for item in items:
        lines += [*_directive(item), ""]
    return "\n".join([*lines, "```", ""])


def _directive(item: Documented) -> list[str]:
    name = f"{item.module}.{item.name}"
    if inspect.isclass(item.value):
        kind = "autoexception" if issubclass(item.value, BaseException) else "autoclass"
        return [f".. {kind}:: {name}", "   :members:"]
    if inspect.isroutine(item.value):
        return [f".. autofunction:: {name}"]
    said = [f"   :module: {item.module}", "", f"   {data_text(item)}"]
    return [f".. py:data:: {item.name}", *said]


def data_text(item: Documented) -> str:
    """Return what stands below an assignment, which autodoc finds in its own module alone."""
    room = SOURCE / item.module.split(".")[1]
    for path in sorted(room.rglob("*.py")):
        body = ast.parse(path.read_text("utf-8")).body
        for line, below in itertools.pairwise(body):
            target = getattr(line, "target", None) or next(iter(getattr(line, "targets", ())), None)
            if getattr(target, "id", None) == item.name and isinstance(below, ast.Expr):
                return " ".join(str(ast.literal_eval(below.value)).split())
    raise LookupError(f"{item.module}.{item.name}: write below it what it is")


def every_page() -> Pages:
    """Return all pages that are made."""
    rules = {"sampling_rules.md": rule_tables()}
    return finding_pages() | method_pages() | command_pages() | api_pages() | rules
