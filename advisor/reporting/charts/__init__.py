"""Charts as SVG: of the report, of the evidence, and those that stand alone on a page."""
