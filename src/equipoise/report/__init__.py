"""One self-contained HTML file from artifacts."""
