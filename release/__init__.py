"""What a release has to pass before it leaves; `make release-check` runs it."""
