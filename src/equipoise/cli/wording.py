"""Messages of the library in the words of the command line: `at_least` becomes `--at-least`."""

from __future__ import annotations

import re
from shlex import quote

# Arguments whose option is spelt in the same way; `scores` is left out: it is mostly a file.
SAME = (
    "at_least", "by", "calibration", "costs", "deployment", "delimiter", "empty_token",
    "figure", "fractions", "free_offsets", "k", "kind", "label", "labels", "max_fpr",
    "min_per_part", "negative", "net_benefit_at", "objective", "order", "positive", "target_prior",
    "threshold_probability", "total", "train_counts", "train_prior", "unknown",
)  # fmt: skip
OTHER = {
    "columns": "--scores",
    "confidence_level": "--confidence",
    "flags_per_row": "--budget",
    "group_column": "--group",
    "id_column": "--id",
    "imbalance_ratio": "--ratio",
    "n_max": "--total",
    "n_rows": "--rows",
    "score_kind": "--score-kind",
    "top_fraction": "--top",
}
OPTIONS = {name: "--" + name.replace("_", "-") for name in SAME} | OTHER
# `audit` names the table with --labels and its columns with --columns.
OF_VERB = {
    "audit": {"labels": "--columns"},
    "diagnose": {"counts": "--positives"},
    "mine": {"negative": "--negative", "ratio": "--ratio"},
}
# Verbs whose tables are described in a study: how labels are coded stands there.
OF_STUDIES = ("train", "mine")
CODING = ("positive", "negative", "unknown", "empty_token")
SETTING = re.compile(r"\b(\w+)=(?:'([^']*)'|\"([^\"]*)\"|(?=\W|$))")
# Later words in backquotes are columns and other names.
FIRST = re.compile(r"^`(\w+(?: and \w+)*)`")


def in_options(message: str, verb: str) -> str:
    """Return a message with arguments of the library spelt as options of the verb.

    Arguments are the first word, in backquotes, and ``name=``; a column of such a name stays.

    Example:
        >>> in_options("`id_column` must name columns of the table, got 'x'.", "split")
        "`--id` must name columns of the table, got 'x'."
        >>> in_options("One column of class names is label=, not labels=.", "audit")
        'One column of class names is --label, not --columns.'
        >>> in_options('Say empty_token="No Finding".', "split")
        "Say --empty-token 'No Finding'."
        >>> in_options('Say negative="-1".', "train")
        'Say data.negative: "-1".'
    """
    in_study = {name: f"data.{name}" for name in CODING} if verb in OF_STUDIES else {}
    known = OPTIONS | in_study | OF_VERB.get(verb, {})

    def quoted(match: re.Match[str]) -> str:
        parts = match[1].split(" and ")
        return "`" + " and ".join(known.get(part, part) for part in parts) + "`"

    def setting(match: re.Match[str]) -> str:
        value = match[2] if match[2] is not None else match[3]
        if match[1] in in_study:
            return in_study[match[1]] + ("" if value is None else f': "{value}"')
        if match[1] not in known:
            return match[0]
        return known[match[1]] + ("" if value is None else f" {quote(value)}")

    return SETTING.sub(setting, FIRST.sub(quoted, message))
