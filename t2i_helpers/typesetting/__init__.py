"""From results to the report's PDF: numbers as macros, sentences that are checked, staleness, LaTeX."""
