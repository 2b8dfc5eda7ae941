"""Parts of the report that stand alone, one file each: rows, drawing, and the sentences that the terminal shows too."""
