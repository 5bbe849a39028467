"""Write THIRD_PARTY.md: what this project depends on, under which licences, by what is installed.

    python -m release.licences [SITE_PACKAGES ...]

It reads the metadata of installed packages: of this environment, and of the folders that are
named, for extras that stand in other environments.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "THIRD_PARTY.md"
USED_FOR = {
    "accelerate": "asked for by the Trainer of transformers",
    "alembic": "tables of MLflow's database",
    "axe-playwright-python": "accessibility of the report in the tests",
    "build": "wheel and source archive",
    "catboost": "CatBoost as a kind of model",
    "duckdb": "oracle of exported SQL in the tests",
    "furo": "theme of the documentation",
    "hypothesis": "made cases in the tests",
    "imbalanced-learn": "balanced forests, EasyEnsemble, RUSBoost",
    "import-linter": "contracts of imports",
    "iterative-stratification": "oracle of splits in the tests",
    "jax": "backend of Keras",
    "jinja2": "templates of the report",
    "keras": "losses, metrics and callbacks for Keras 3",
    "kornia": "augmentation",
    "latex2mathml": "formulas of the documentation",
    "lightgbm": "LightGBM as a kind of model",
    "lightning": "training of networks",
    "matplotlib": "figures",
    "mlflow-skinny": "MLflow as a tracker",
    "monai": "DenseNet121 and losses of regions",
    "mypy": "types",
    "myst-parser": "Markdown in the documentation",
    "narwhals": "data frames of other libraries",
    "numpy": "arrays",
    "onnx": "rules and networks as graphs",
    "onnxruntime": "oracle of exported graphs in the tests",
    "onnxscript": "torch's exporter to ONNX",
    "openpyxl": "Excel workbooks",
    "pandas": "data frames in the tests",
    "playwright": "the report in a browser, in the tests",
    "polars": "tables",
    "pydantic": "studies and options are checked",
    "pytest": "tests",
    "pytest-randomly": "tests in random order",
    "pytest-xdist": "tests side by side",
    "PyYAML": "studies are read",
    "ray": "trials on a cluster",
    "ruff": "lint and format",
    "safetensors": "weights in files",
    "scikit-learn": "models of tables, oracle of the metrics",
    "scipy": "statistics, sparse tables",
    "scipy-stubs": "types of SciPy",
    "skops": "scikit-learn's models in files, without pickle",
    "skorch": "remedies in skorch",
    "sphinx": "documentation",
    "sqlalchemy": "MLflow's database",
    "tensorboard": "TensorBoard as a tracker, event files are read",
    "torch": "losses, samplers, networks",
    "transformers": "remedies in the Hugging Face Trainer",
    "twine": "the archives' metadata are checked",
    "typer": "the command line",
    "types-PyYAML": "types of PyYAML",
    "wandb": "Weights & Biases as a tracker",
    "xgboost-cpu": "XGBoost in the tests",
}
# Where the metadata give a whole text or nothing; as the licence file of the package says.
READ_BY_HAND = {
    "axe-playwright-python": "MIT; its axe-core MPL-2.0",
    "namex": "Apache-2.0",
    "matplotlib": "Matplotlib's own, of the kind of Python's (PSF)",
    "onnxscript": "MIT",
    "scipy": "BSD-3-Clause",
    "skops": "MIT",
}
COPYLEFT = re.compile(r"\b(A?GPL|LGPL|MPL|EPL|CDDL|EUPL|GNU|Mozilla)", re.IGNORECASE)
HEAD = """\
# What this project depends on

Made by `python -m release.licences` from the metadata of installed packages; the versions are
those that were seen. Nothing of this is part of the wheel: pip installs it. The licence of this
project is Apache-2.0 ([LICENSE](LICENSE)).
"""
FONTS = """
## Files of others in this repository

| file | licence | used for |
|---|---|---|
| `docs/fonts/noto-sans-math.woff2`, part of Noto Sans Math | OFL-1.1 | formulas of the pages |

The text of that licence stands beside it, in `docs/fonts/OFL.txt`.
"""
SOURCE_ASKED = """\
## Copyleft

Of all packages above, these have licences that ask for the source of changes to their own files,
or more. They are installed and used as they are, and nothing of them is copied here.
"""


def plain(requirement: str) -> str:
    """Return the name that a requirement begins with.

    Example:
        >>> plain("lightning>=2.6,<2.7"), plain("equipoise[torch]")
        ('lightning', 'equipoise')
    """
    return re.split(r"[<>=!~\[; (]", requirement, maxsplit=1)[0]


def key(name: str) -> str:
    """Return a name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence_of(found: Distribution) -> str:
    """Return a licence in a few words, from the most exact field of the metadata."""
    metadata = found.metadata
    if metadata["Name"] in READ_BY_HAND:
        return READ_BY_HAND[metadata["Name"]]
    if metadata["License-Expression"]:
        return str(metadata["License-Expression"])
    told = (metadata["License"] or "").strip()
    if told and len(told) < 60 and "\n" not in told:
        return told
    classes = [c.rpartition(" :: ")[2] for c in metadata.get_all("Classifier") or ()
               if c.startswith("License ::")]  # fmt: skip
    return ", ".join(classes) or "not said in its metadata"


def sections() -> dict[str, list[str]]:
    """Return core and extras, each with the names of what it asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {"core": project["dependencies"], **project["optional-dependencies"]}
    return {
        part: [plain(r) for r in needed if plain(r) != project["name"]]
        for part, needed in asked.items()
    }


def brought_along(
    names: Iterable[str], installed: Mapping[str, Distribution]
) -> dict[str, Distribution]:
    """Return what is installed for these packages, and for that in turn."""
    found: dict[str, Distribution] = {}
    waiting = [key(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found or name not in installed:
            continue
        found[name] = installed[name]
        needed = installed[name].requires or ()
        waiting += [key(plain(r)) for r in needed if "extra ==" not in r]
    return found


def make_page(installed: Mapping[str, Distribution]) -> str:
    """Return the page; a package that is not installed ends it."""
    lines, direct = [HEAD], set[str]()
    for part, names in sections().items():
        new = [n for n in names if key(n) not in direct]
        if not new:
            continue
        lines.append(f"\n## {'Core' if part == 'core' else f'Extra `{part}`'}\n")
        lines.append("| package | version | licence | used for |\n|---|---|---|---|")
        for name in new:
            if key(name) not in installed:
                sys.exit(f"licences: {name} is not installed; name the folder that it is in.")
            found = installed[key(name)]
            lines.append(f"| {name} | {found.version} | {licence_of(found)} | {USED_FOR[name]} |")
        direct |= {key(n) for n in new}
    more = {n: d for n, d in brought_along(direct, installed).items() if n not in direct}
    lines.append("\n## Brought along by these\n\n| package | version | licence |\n|---|---|---|")
    lines += [f"| {n} | {d.version} | {licence_of(d)} |" for n, d in sorted(more.items())]
    lines.append(FONTS)
    lines.append(SOURCE_ASKED)
    every = {**{n: installed[n] for n in direct}, **more}
    for name, found in sorted(every.items()):
        licence = licence_of(found)
        if COPYLEFT.search(licence):
            by = [
                part
                for part, asked in sections().items()
                if name in brought_along(asked, installed)
            ]
            lines.append(f"- {name}: {licence}; by {', '.join(by)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    elsewhere = {key(d.metadata["Name"]): d for d in distributions(path=sys.argv[1:])}
    here = {key(d.metadata["Name"]): d for d in distributions()}
    PAGE.write_text(make_page(elsewhere | here), encoding="utf-8")
    print(f"{PAGE.name}: {len(sections())} parts")
