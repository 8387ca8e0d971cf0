"""Shows results: on the terminal, as CSV, as Markdown, as one HTML page."""
