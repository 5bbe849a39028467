"""Splits that are stratified, grouped and proven."""
