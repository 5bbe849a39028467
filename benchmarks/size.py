"""How large the package is: code lines, files, comments, parameter lists, public names.

    python -m benchmarks.size [SRC]

Code lines are those that are neither blank, comment nor docstring. SRC is the folder of the
package, for example in a checkout of an earlier commit; without it, this one.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

HERE = Path(__file__).parents[1] / "src" / "equipoise"
Function = ast.FunctionDef | ast.AsyncFunctionDef


def docstring_lines(tree: ast.Module) -> set[int]:
    """Return the lines that docstrings, of attributes too, take."""
    found: set[int] = set()
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        for line in node.body if isinstance(node, documented) else ():
            text = line.value if isinstance(line, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found.update(range(line.lineno, (line.end_lineno or 0) + 1))
    return found


def parameters(function: Function) -> int:
    """Return how many parameters a function has, self and cls apart."""
    given = function.args
    names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in names if name not in ("self", "cls")])


def main(source: Path) -> None:
    code = comments = files = 0
    longest: list[tuple[int, str]] = []
    public: set[str] = set()
    for path in sorted(source.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        documented = docstring_lines(tree)
        files += 1
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip().startswith("#"):
                comments += 1
            elif line.strip() and number not in documented:
                code += 1
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        longest += [
            (parameters(node), f"{module}.{node.name}")
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        ]
        if path.name == "__init__.py":
            for node in tree.body:
                name = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
                if name == "__all__":
                    named = ast.literal_eval(node.value)
                elif name == "_HOME" and "lazy_face" in text:
                    # A lazy face holds, by module, the names that it gives as text.
                    named = " ".join(ast.literal_eval(node.value).values()).split()
                else:
                    continue
                public.update(f"{module[:-9]}.{n}" for n in named)
    print(f"code lines     {code:>7,}")
    print(f"files          {files:>7,}")
    print(f"comment lines  {comments:>7,}")
    print(f"public names   {len(public):>7,}  (in __all__ of a package)")
    print("longest parameter lists:")
    for count, name in sorted(longest, key=lambda found: (-found[0], found[1]))[:10]:
        print(f"  {count:>3}  {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
