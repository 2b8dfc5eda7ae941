"""Who wins, is refit and scored once: verdict, ensemble, incumbent, final refit, results."""
