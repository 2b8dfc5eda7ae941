"""How labelled images are arranged on disk: one file per layout, each with `recognise` and `read`, tried in one order."""
