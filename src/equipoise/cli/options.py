"""Options that several verbs share, alone and in records, so that each is said once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, cast, get_type_hints

import typer

from equipoise._core.messages import expand_columns, is_pattern, say
from equipoise.cli.console import kind_of, split_list
from equipoise.errors import UsageError

if TYPE_CHECKING:
    from equipoise.artifacts import DecisionRule, Labels, Scores
    from equipoise.artifacts.scores import SplitName
    from equipoise.io.labels import LabelArguments


def file_to_write(parameter: typer.CallbackParam, path: Path | None) -> Path | None:
    """Refuse a folder where a file is to be written, before any work is done."""
    if path is not None and path.is_dir():
        do = "Name a file in it."
        raise UsageError(
            say(str(parameter.name), "name a file to write", f"the folder '{path}'", do)
        )
    return path


def folder_to_write(parameter: typer.CallbackParam, path: Path | None) -> Path | None:
    """Refuse a file where a folder is to be written, before any work is done."""
    if path is not None and path.exists() and not path.is_dir():
        do = "Name another, or remove it."
        raise UsageError(say(str(parameter.name), "name a folder", f"the file '{path}'", do))
    return path


LabelColumn = Annotated[
    str | None, typer.Option("--label", help="One column: a class, or several labels as A|D.")
]
LabelColumns = Annotated[
    str | None, typer.Option("--labels", help="One column per label: A,B,C or 'topic_*' or q1..q9.")
]
Delimiter = Annotated[str, typer.Option(help="Between the labels of a --label column.")]
Positive = Annotated[
    list[str] | None,
    typer.Option("--positive", help="Entry that means present, instead of 1; may be repeated."),
]
Negative = Annotated[
    list[str] | None,
    typer.Option("--negative", help="Entry that means absent, instead of 0; may be repeated."),
]
Unknown = Annotated[
    list[str] | None,
    typer.Option("--unknown", help="Entry that means unknown, instead of -1; may be repeated."),
]
EmptyTokens = Annotated[
    list[str] | None,
    typer.Option("--empty-token", help="Word that means no label, in a --label column of A|D."),
]
KindOption = Annotated[
    str | None,
    typer.Option("--kind", help="multiclass or multilabel; seen from the values if not given."),
]
IdColumn = Annotated[str | None, typer.Option("--id", help="Column of row ids.")]
GroupColumn = Annotated[
    str | None,
    typer.Option(
        "--group", "--groups", help="Column of groups that stay together (patient, video)."
    ),
]
WeightColumn = Annotated[
    str | None,
    typer.Option("--weight", help="Column of row weights: how many rows each stands for."),
]
DropColumns = Annotated[
    str | None, typer.Option("--drop", help="Columns of a table that are no features: A,B.")
]
CategoricalColumns = Annotated[
    str | None, typer.Option("--categorical", help="Columns whose numbers are names: zip,store.")
]
TimeColumns = Annotated[str | None, typer.Option("--time", help="Columns that are dates.")]
Image = Annotated[
    str | None, typer.Option("--image", help="Column of image paths, seen from the table's folder.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Change a value: training.epochs=50.")
]
Seed = Annotated[int, typer.Option(help="Same seed, same result.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Import and run the object: this runs its code.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]
FailOn = Annotated[
    str | None,
    typer.Option("--fail-on", help="Exit 4 on a finding at or above: tip, warning or error."),
]
Fractions = Annotated[
    str | None, typer.Option("--fractions", help="Shares of train,val,test; 0.7,0.15,0.15.")
]
Folds = Annotated[
    int | None, typer.Option("--folds", help="Cut into this many folds instead of parts.")
]
MinPerPart = Annotated[
    int, typer.Option(help="Positives of each label that a part must hold; 0 promises none.")
]
LongTail = Annotated[bool, typer.Option("--long-tail", help="Thin to a long tail.")]
TailRatio = Annotated[
    str | None,
    typer.Option("--ratio", help="Imbalance ratio (20), or one number per class: 19:17:...:1."),
]
TailShape = Annotated[
    str | None, typer.Option("--shape", help="exp (default) or step, for one imbalance ratio.")
]
TailTotal = Annotated[int | None, typer.Option("--total", help="Training rows of the long tail.")]
TailOrder = Annotated[
    str | None, typer.Option("--order", help="Classes from head to tail, as dog,cat,owl.")
]
TestPerClass = Annotated[int | None, typer.Option(help="Balanced test rows of a long tail.")]
ValPerClass = Annotated[int | None, typer.Option(help="Balanced validation rows of a long tail.")]
CopyFiles = Annotated[
    Path | None,
    typer.Option(
        "--copy",
        callback=folder_to_write,
        help="Copy a class folder's files into DIR/part/class.",
    ),
]
OutFolder = Annotated[
    Path, typer.Option("--out", "-o", callback=folder_to_write, help="Folder to write.")
]
TargetPriorOption = Annotated[
    str,
    typer.Option("--target-prior", help="validation, uniform, em, shares: 0.1,0.9 or A=.1,B=.9."),
]
Deployment = Annotated[
    Path | None,
    typer.Option(help="Scores of new rows, for --target-prior em: Parquet, or a table."),
]
Calibration = Annotated[
    str,
    typer.Option(
        help="Highest rung: auto, formula, offset, platt; for labels isotonic, for classes vector."
    ),
]
ScoreKind = Annotated[
    str | None, typer.Option(help="For a table: logits, probabilities or ranking.")
]
ScoreColumns = Annotated[
    str | None, typer.Option("--scores", help="Score columns: zA,zB, or 'z_*'.")
]
TrainCounts = Annotated[
    Path | None,
    typer.Option(help="Counts for head, medium, tail: a trial.json, JSON or CSV of name,count."),
]
NetBenefitAt = Annotated[
    float | None,
    typer.Option(help="Add net benefit at this break-even probability; else as in the rule."),
]
MaxFpr = Annotated[
    float, typer.Option("--max-fpr", help="For partial AUROC and recall: false alarm rate.")
]
TopFraction = Annotated[float, typer.Option("--top", help="For precision at top: share of rows.")]


def with_groups(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb that takes the fields of its dataclass parameters as options of their own.

    typer makes one option of one parameter. A verb with thirty options would name them in its
    signature and again wherever it hands them on; so it names records of them.

    Args:
        verb: With annotations for typer; fields of the records carry the same.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class Size:
        ...     rows: int = 2
        ...     columns: int = 3
        >>> def run(name: str, size: Size) -> None:
        ...     print(name, size.rows * size.columns)
        >>> run.__annotations__ = {"name": str, "size": Size, "return": None}
        >>> with_groups(run)(name="cells", rows=4, columns=5)
        cells 20
        >>> list(signature(with_groups(run)).parameters)
        ['name', 'rows', 'columns']
    """
    hints = get_type_hints(verb, include_extras=True)
    groups: dict[str, Any] = {}
    options: list[Parameter] = []
    for name, parameter in signature(verb).parameters.items():
        if is_dataclass(hints[name]):
            groups[name] = hints[name]
            inner = get_type_hints(hints[name], include_extras=True)
            options += [
                Parameter(
                    f.name, Parameter.KEYWORD_ONLY, default=f.default, annotation=inner[f.name]
                )
                for f in fields(hints[name])
            ]
        else:
            options.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name]))

    def run(**given: Any) -> None:
        made = {
            name: group(**{f.name: given.pop(f.name) for f in fields(group)})
            for name, group in groups.items()
        }
        tables = (given.get(name) for name in ("table", "source", "scores"))
        table = next((path for path in tables if isinstance(path, Path)), None)
        for name, record in made.items():
            if isinstance(record, ColumnOptions) and table is not None:
                made[name] = record.of_table(table)
        return verb(**made, **given)

    run.__doc__ = verb.__doc__
    # typer reads both.
    run.__signature__ = Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


Lang = Annotated[str | None, typer.Option("--lang", help="Language of what is shown: en, zh.")]


def _keep_inputs(given: Mapping[str, Any]) -> None:
    """Refuse to write the result over what it is made of, before any work is done."""
    out = given.get("out")
    if not isinstance(out, Path) or not out.is_file():
        return
    named = [value for name, value in given.items() if name != "out"]
    read = [p for value in named for p in (value if isinstance(value, list) else [value])]
    read = [Path(p) for p in read if isinstance(p, Path) or p in (given.get("data") or ())]
    if any(path.is_file() and path.samefile(out) for path in read):
        got = f"'{out}', which is read"
        raise UsageError(say("out", "name another file than the input", got, "Name a new file."))


def in_language(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb that also takes --lang, and shows all that it says in that language.

    Without the option it is that of the environment variable EQUIPOISE_LANG, or English.

    Example:
        >>> from equipoise._core.language import said
        >>> def run(name: str) -> None:
        ...     print(said("Rule: " + name))
        >>> run.__annotations__ = {"name": str, "return": None}
        >>> in_language(run)(name="rule.json", lang="zh")
        规则：rule.json
    """
    own = list(signature(verb).parameters.values())
    hints = get_type_hints(verb, include_extras=True)

    def run(*, lang: str | None = None, **given: Any) -> None:
        from equipoise._core.language import speaking, spoken

        with speaking(lang or spoken()):
            _keep_inputs(given)
            return verb(**given)

    given = [p.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in own]
    options = [*given, Parameter("lang", Parameter.KEYWORD_ONLY, default=None, annotation=Lang)]
    run.__doc__ = verb.__doc__
    run.__signature__ = Signature(options)  # type: ignore[attr-defined]
    run.__annotations__ = {option.name: option.annotation for option in options}
    return run


@dataclass(frozen=True)
class CodingOptions:
    """What the entries of label columns stand for."""

    delimiter: Delimiter = "|"
    positive: Positive = None
    negative: Negative = None
    unknown: Unknown = None
    empty_token: EmptyTokens = None

    @property
    def coding(self) -> dict[str, list[str]]:
        """What was declared, by argument."""
        given = {"positive": self.positive, "negative": self.negative, "unknown": self.unknown,
                 "empty_token": self.empty_token}  # fmt: skip
        return {name: tokens for name, tokens in given.items() if tokens}


@dataclass(frozen=True)
class _Places:
    label: LabelColumn = None
    labels: LabelColumns = None
    id_column: IdColumn = None
    group: GroupColumn = None
    weight: WeightColumn = None


@dataclass(frozen=True)
class ColumnOptions(CodingOptions, _Places):
    """Where labels stand in a table, with ids and groups, and how they are coded.

    Fields of the last base come first, and so do their options in the help.
    """

    def of_table(self, table: Path) -> Self:
        """Return the same with ``topic_*`` and ``q1..q9`` as the columns of a table."""
        wanted = split_list(self.labels) or []
        if not any(is_pattern(name) for name in wanted) or not table.is_file():
            return self
        from equipoise.io.tables import read_table

        columns = expand_columns("labels", wanted, read_table(table).columns)
        return replace(self, labels=",".join(columns))

    @property
    def named(self) -> list[str | None]:
        """The columns that are labels, ids, groups or weights."""
        sides = [self.id_column, self.group, self.weight]
        return [self.label, *(split_list(self.labels) or ()), *sides]

    @property
    def where(self) -> LabelArguments:
        """The same as readers take it."""
        found: Any = {
            "label": self.label,
            "labels": split_list(self.labels),
            "delimiter": self.delimiter,
            "id_column": self.id_column,
            "group_column": self.group,
            "weight_column": self.weight,
        }
        return cast("LabelArguments", found | self.coding)


@dataclass(frozen=True)
class LabelOptions(ColumnOptions):
    """The same of a label table, whose kind may be said."""

    kind: KindOption = None

    @property
    def where(self) -> LabelArguments:
        """The same as readers take it."""
        return {**super().where, "kind": kind_of(self.kind)}

    def read(self, source: Path) -> Labels:
        """Read the labels of a table or a class folder."""
        from equipoise.io import read_labels

        return read_labels(source, **self.where)

    @property
    def described(self) -> dict[str, Any]:
        """What was said of a table, as the data part of a study has it; nothing that was not."""
        words = {
            "label": self.label,
            "labels": split_list(self.labels),
            "delimiter": None if self.delimiter == "|" else self.delimiter,
            "kind": self.kind,
            "id": self.id_column,
            "group": self.group,
            "weight": self.weight,
            **self.coding,
        }
        return {key: value for key, value in words.items() if value is not None}


@dataclass(frozen=True)
class TableOptions(LabelOptions):
    """The same of a table whose other columns are features."""

    drop: DropColumns = None
    categorical: CategoricalColumns = None
    time: TimeColumns = None

    @property
    def described(self) -> dict[str, Any]:
        """What was said of a table, as the data part of a study has it; nothing that was not."""
        words = {"drop": split_list(self.drop), "categorical": split_list(self.categorical),
                 "time": split_list(self.time)}  # fmt: skip
        return super().described | {key: value for key, value in words.items() if value}


@dataclass(frozen=True)
class _Scored:
    score_kind: ScoreKind = None
    columns: ScoreColumns = None


@dataclass(frozen=True)
class ScoreOptions(ColumnOptions, _Scored):
    """Where scores stand in a table, beside their labels."""

    def of_table(self, table: Path) -> Self:
        """Return the same with patterns of score columns, too, as the columns of a table."""
        made = super().of_table(table)
        wanted = split_list(made.columns) or []
        if not any(is_pattern(name) for name in wanted) or not table.is_file():
            return made
        from equipoise.io.tables import read_table

        columns = expand_columns("columns", wanted, read_table(table).columns)
        return replace(made, columns=",".join(columns))

    def read(
        self, path: Path, split: SplitName, rule: DecisionRule | None = None
    ) -> tuple[Scores, tuple[str, ...]]:
        """Read scores, and what their columns are called."""
        from equipoise.io.scores import read_named_scores

        columns = split_list(self.columns)
        return read_named_scores(
            path, self.score_kind, columns, split=split, rule=rule, **self.where
        )
