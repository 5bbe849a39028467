"""Run the study and print it: python -m examples.keras_sequences."""

from __future__ import annotations

import sys

from examples.keras_sequences.study import describe, run, table


def main() -> None:
    """Print the findings and the table; progress goes to stderr."""
    outcome = run(tell=lambda line: print(line, file=sys.stderr))
    print(describe(outcome))
    print()
    print(table(outcome))


if __name__ == "__main__":
    main()
