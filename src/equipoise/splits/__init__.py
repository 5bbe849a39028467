"""Splits: stratified, grouped, folded or long-tailed, each with its proof, and their audit."""

from equipoise.splits.copies import (
    Copies,
    copies_finding,
    feature_contents,
    find_copies,
    near_pairs,
)
from equipoise.splits.kfold import stratified_kfold
from equipoise.splits.leakage import audit_split, row_hashes
from equipoise.splits.long_tail import long_tail_counts, long_tail_split
from equipoise.splits.stratified import redraw_validation, stratified_split
from equipoise.splits.summary import SplitSummary, split_summary

__all__ = [
    "Copies",
    "SplitSummary",
    "audit_split",
    "copies_finding",
    "feature_contents",
    "find_copies",
    "long_tail_counts",
    "long_tail_split",
    "near_pairs",
    "redraw_validation",
    "row_hashes",
    "split_summary",
    "stratified_kfold",
    "stratified_split",
]
