"""Options that several verbs share, so that they are spelt the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

LabelColumn = Annotated[
    str | None, typer.Option("--label", help="One column: a class, or several labels as A|D.")
]
LabelColumns = Annotated[
    str | None, typer.Option("--labels", help="One column per label, as A,B,C: 0, 1, -1 unknown.")
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
    Path | None, typer.Option("--copy", help="Copy a class folder's files into DIR/part/class.")
]
OutFolder = Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")]
TargetPriorOption = Annotated[
    str,
    typer.Option("--target-prior", help="validation, uniform, em, shares: 0.1,0.9 or A=.1,B=.9."),
]
Deployment = Annotated[
    Path | None, typer.Option(help="Unlabelled scores of split new, for --target-prior em.")
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
ScoreColumns = Annotated[str | None, typer.Option("--scores", help="Score columns, zA,zB.")]
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
